"""Changing a view's definition where CREATE OR REPLACE can't: dependent views are recreated as well.

Their owners, grants, options and comments are kept. What can't be kept is named in an error, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from errors import UnavailableError

# The view itself first, and each other view after those that it reads.
_FOUND = """
WITH RECURSIVE found (oid, depth) AS (
    SELECT CAST(:name AS regclass)::oid, 0
    UNION SELECT r.ev_class, f.depth + 1 FROM found AS f
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = f.oid
    JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid AND r.ev_class <> f.oid
    JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind = 'v' AND r.rulename = '_RETURN'
    WHERE f.depth < 50)
SELECT c.oid, format('%I.%I', n.nspname, c.relname), pg_get_viewdef(c.oid), quote_ident(o.rolname),
    array_to_string(ARRAY(SELECT format('%I = %L', split_part(option, '=', 1), split_part(option, '=', 2))
        FROM unnest(c.reloptions) AS option), ', ')
FROM (SELECT oid, max(depth) AS depth FROM found GROUP BY oid) AS f
JOIN pg_class AS c USING (oid) JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_roles AS o ON o.oid = c.relowner
ORDER BY f.depth
"""
_LOST = """
SELECT format('the trigger %I on %s', tgname, tgrelid::regclass) FROM pg_trigger
WHERE tgrelid = ANY(:oids) AND NOT tgisinternal
UNION ALL SELECT format('the rule %I on %s', rulename, ev_class::regclass) FROM pg_rewrite
WHERE ev_class = ANY(:oids) AND rulename <> '_RETURN'
UNION ALL SELECT format('the default of a column of %s', adrelid::regclass) FROM pg_attrdef WHERE adrelid = ANY(:oids)
"""
# Statements that give a recreated view the old one's grants and comments.
_KEPT = """
SELECT format('GRANT %s ON %s TO %s%s', privilege_type, CAST(:name AS text),
    CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) WHERE oid = :oid
UNION ALL SELECT format('GRANT %s (%I) ON %s TO %s%s', privilege_type, attname, CAST(:name AS text),
    CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_attribute, aclexplode(attacl) WHERE attrelid = :oid
UNION ALL SELECT format('COMMENT ON VIEW %s IS %L', CAST(:name AS text), description)
FROM pg_description WHERE objoid = :oid AND classoid = 'pg_class'::regclass AND objsubid = 0
UNION ALL SELECT format('COMMENT ON COLUMN %s.%I IS %L', CAST(:name AS text), attname, description)
FROM pg_description JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid
WHERE objoid = :oid AND classoid = 'pg_class'::regclass
"""
# Statements that revoke what default privileges have granted on the new view.
_REVOKED = """
SELECT DISTINCT format('REVOKE ALL ON %s FROM %s', CAST(:name AS text),
    CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) WHERE oid = CAST(:name AS regclass)
"""


@dataclass(frozen=True)
class _View:
    oid: int
    name: str  # with its schema, quoted
    query: str
    owner: str
    options: str
    kept: list[str]


def redefine(connection: Connection, name: str, query: str) -> None:
    """Change the query of the view `name`, also with other column types, and recreate the views that read it.

    Raises
    ------
    UnavailableError
        With the name of an object that depends on the view and can't be recreated.
    """
    views = list(_found(connection, name))
    lost = connection.execute(text(_LOST), {"oids": [view.oid for view in views]}).scalars().first()
    if lost is not None:
        raise _refusal(name, lost)
    try:
        with connection.begin_nested():
            _run(connection, f"DROP VIEW {', '.join(view.name for view in views)}")
    except DBAPIError as error:
        diag = getattr(error.orig, "diag", None)
        if getattr(error.orig, "sqlstate", "") != "2BP01" or diag is None:  # dependent objects still exist
            raise
        raise _refusal(name, str(diag.message_detail).replace("\n", "; ")) from None
    for view in views:
        _create(connection, view, query if view is views[0] else view.query, name)


def _found(connection: Connection, name: str) -> Iterator[_View]:
    for row in connection.execute(text(_FOUND), {"name": name}).all():
        kept = connection.execute(text(_KEPT), {"oid": row[0], "name": row[1]}).scalars()
        yield _View(*row, list(kept))


def _create(connection: Connection, view: _View, query: str, base: str) -> None:
    options = f" WITH ({view.options})" if view.options else ""
    try:
        with connection.begin_nested():
            _run(connection, f"CREATE VIEW {view.name}{options} AS {query}")
            _run(connection, f"ALTER VIEW {view.name} OWNER TO {view.owner}")
            revoked = connection.execute(text(_REVOKED), {"name": view.name}).scalars().all()
            for statement in (*revoked, *view.kept):
                _run(connection, statement)
    except ProgrammingError as error:
        reason = getattr(getattr(error.orig, "diag", None), "message_primary", None)
        raise _refusal(base, f"the view {view.name} ({reason})") from None


def _run(connection: Connection, statement: str) -> None:
    """Execute a statement literally, without parameters."""
    connection.exec_driver_sql(statement.replace("%", "%%"))


def _refusal(view: str, dependent: str) -> UnavailableError:
    return UnavailableError(
        f"The view {view} gets another column type, but an object that depends on it can't be kept: {dependent}."
        " Drop it, run smartcrm migrate, and create it again.",
        code="view_in_use",
    )
