"""Migrating our tables to the current version with Alembic."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from errors import UnavailableError
from postgres import PUBLIC, check, schema_of
from store.database import engine

MIGRATIONS = Path(__file__).parent.parent / "migrations"


CREATED = re.compile(r"CREATE (?:TABLE|VIEW) (\w+)")


class SchemaError(UnavailableError):
    """Our tables are at another version, in another schema, or can't be created in the schema."""


class OutdatedError(SchemaError):
    """Our tables are at another version than this program's; `smartcrm migrate` changes that."""

    code = "schema_outdated"


def migrate(url: str) -> str:
    """Run the missing migrations and return the version that the tables now have.

    Creates the schema if it is missing. An advisory lock makes concurrent callers wait for each other.

    Raises
    ------
    UnavailableError
        When PostgreSQL can't be reached, its user may not create tables, or another program has tables of these names.
    """
    check(url, "DATABASE_URL")
    config, schema = _config(), schema_of(url)
    try:
        with engine(url).begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('smartcrm.migrate'))"))
            if connection.scalar(text("SELECT to_regnamespace(:schema)"), {"schema": schema}) is None:
                connection.execute(text(f'CREATE SCHEMA "{schema}"'))
            _refuse_others(connection, schema)
            config.attributes.update(connection=connection, schema=schema)
            command.upgrade(config, "head")
            return _version(connection, schema) or ""
    except DBAPIError as error:
        denied = error.orig
        if isinstance(denied, psycopg.errors.InsufficientPrivilege):
            raise UnavailableError(f"DATABASE_URL: {denied.diag.message_primary}.", code="database_denied") from None
        if isinstance(denied, psycopg.errors.DuplicateTable | psycopg.errors.DuplicateObject):
            raise _occupied(schema, str(denied.diag.message_primary)) from None
        raise


def require_current(url: str) -> None:
    """Check that the tables have the version that this code was written for.

    Raises
    ------
    SchemaError
        When they don't, mostly OutdatedError; the message says to run `smartcrm migrate`, or what prevents it.
    """
    check(url, "DATABASE_URL")
    schema = schema_of(url)
    with engine(url).connect() as connection:
        _refuse_others(connection, schema)
        found = _version(connection, schema)
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    if found != wanted:
        raise OutdatedError(
            f"The tables in DATABASE_URL are at version {found or 'none'} and this program needs {wanted};"
            " run smartcrm migrate."
        )


_STRANGERS = text("""
SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace(:schema) AND c.relname = ANY(:names)
  AND NOT EXISTS (SELECT FROM pg_class AS r WHERE r.relnamespace = c.relnamespace AND r.relname = 'analytics_runs')
""")
_ELSEWHERE = text("""
SELECT nspname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relname = 'analytics_published' AND nspname = ANY(current_schemas(false)) AND nspname <> :schema
  AND to_regclass(format('%I.analytics_runs', CAST(:schema AS text))) IS NULL
LIMIT 1
""")


def _refuse_others(connection: Connection, schema: str) -> None:
    """Refuse a schema in which another program has tables of our names, or name the schema that has ours.

    Versions before RESULTS_SCHEMA created our tables in the first schema of the search path.
    """
    elsewhere = connection.scalar(_ELSEWHERE, {"schema": schema}) if schema == PUBLIC else None
    if elsewhere is not None:
        message = f"The results are in the schema {elsewhere} and not in {schema}: set RESULTS_SCHEMA={elsewhere}."
        raise SchemaError(message, code="schema_elsewhere")
    strangers = connection.scalar(_STRANGERS, {"schema": schema, "names": _names()})
    if strangers is not None:
        raise _occupied(schema, f"another program has {strangers} there")


def _occupied(schema: str, why: str) -> SchemaError:
    return SchemaError(
        f"Our tables can't be created in the schema {schema}: {why}. Set RESULTS_SCHEMA to another schema, such as"
        " RESULTS_SCHEMA=smartcrm; smartcrm migrate creates it.",
        code="schema_occupied",
    )


def _version(connection: Connection, schema: str) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table_schema": schema}).get_current_revision()


def _names() -> list[str]:
    """The names of the tables and views that our migrations create, and of Alembic's table."""
    scripts = (MIGRATIONS / "versions").glob("*.py")
    return sorted({"alembic_version", *(name for each in scripts for name in CREATED.findall(each.read_text()))})


def grants(url: str) -> str:
    """The statements that let a role named reader read the results."""
    with engine(url).connect() as connection:  # a name such as order has to be quoted
        schema = connection.scalar(text("SELECT quote_ident(:schema)"), {"schema": schema_of(url)})
    return f"GRANT USAGE ON SCHEMA {schema} TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader;"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
