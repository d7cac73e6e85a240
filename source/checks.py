"""Checks of the CRM's tables for `smartcrm doctor`: columns, grants, indexes, statistics; each with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import psycopg

from errors import SmartCRMError
from postgres import scalar
from source import ranges, reading, remedies
from source.tables import SOURCE_TABLES

OLDEST = 150_000  # PostgreSQL 15, as server_version_num
Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """The result of one check: what was checked, what was found, and how to fix it."""

    level: Level
    subject: str
    found: str
    remedy: str = ""


def version(subject: str, connection: reading.Connection) -> Finding:
    """Whether the server's version is supported."""
    number = int(scalar(connection, "SELECT current_setting('server_version_num')"))
    found = f"PostgreSQL {number // 10_000}"
    if number < OLDEST:
        return Finding("fault", subject, found, "PostgreSQL 15 or newer is needed.")
    return Finding("ok", subject, found)


def orders(url: str, *, separate: bool, timezone: str) -> Iterator[Finding]:
    """Check that the CRM's tables have the needed columns and are readable, not writable, indexed and analyzed.

    `separate`: the orders have their own URL, whose user should only read. All wrong columns of a table are reported
    together, with the SQL of a view that fixes them; it converts times without a time zone from `timezone`.
    """
    try:
        with reading.connect(url) as crm:
            yield version("source database", crm)
            for table in reading.REQUIRED:
                wrong = list(_columns(crm, table, timezone))
                yield from wrong
                if all(finding.level != "fault" for finding in wrong):
                    yield from _table(crm, table, separate)
    except (SmartCRMError, psycopg.Error) as error:
        message = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        yield Finding("fault", "source", message or str(error), "Provide the tables or views that the README lists.")


def _columns(crm: reading.Connection, table: str, timezone: str) -> Iterator[Finding]:
    try:
        types, errors = reading.column_errors(crm, table)
    except SmartCRMError as missing:
        yield Finding("fault", table, str(missing), "Provide a table or view of this name, as the README says.")
        return
    user = str(scalar(crm, "SELECT quote_ident(current_user)"))
    denied = [column for column, error in errors.items() if error.code == "source_denied"]
    if denied:
        remedy = f"GRANT SELECT ON {table} TO {user};"
        yield Finding("fault", table, " ".join(str(errors[column]) for column in denied), remedy)
    wrong = {column: types.get(column) for column in errors if column not in denied}
    found = [str(errors[column]) for column in wrong]
    level: Level = "fault" if wrong else "warning"
    for column in ("price", "cost") if table == "dim_menu_items" else ():
        if column in types and not reading.is_amount(types[column]):
            wrong[column] = types[column]
            found.append(f"{table}.{column} has type {types[column]}, which is not an amount, so it is not used.")
    if wrong:
        schema = str(scalar(crm, "SELECT relnamespace::regnamespace FROM pg_class WHERE oid = to_regclass(%s)", table))
        columns = [*reading.REQUIRED[table], *(name for name in ("id", "price", "cost") if name in types)]
        remedy = remedies.view_statements(table, schema, dict.fromkeys(columns), wrong, user, timezone)
        yield Finding(level, table, " ".join(found), remedy)


def _table(crm: reading.Connection, table: str, separate: bool) -> Iterator[Finding]:
    rows = ranges.estimated_rows(crm, table)
    yield Finding("ok", table, f"readable, about {rows:,} rows")
    if separate and scalar(crm, "SELECT has_table_privilege(%s, 'INSERT, UPDATE, DELETE, TRUNCATE')", table):
        user = scalar(crm, "SELECT quote_ident(current_user)")
        remedy = f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {table} FROM {user};"
        yield Finding("warning", table, "this user may write to it; SELECT is enough", remedy)
    kind, analyzed = crm.execute(
        "SELECT relkind::text, reltuples >= 0 FROM pg_class WHERE oid = to_regclass(%s)", [table]
    ).fetchone() or ("", True)
    if kind not in ("r", "m", "p"):
        yield Finding("ok", table, "a view: the indexes of its tables are not checked")
        return
    if not analyzed:
        yield Finding("warning", table, "never analyzed, so query plans are guessed", f"ANALYZE {table};")
    for ddl in (f"CREATE INDEX ON {table} ({SOURCE_TABLES[table].key})", *SOURCE_TABLES[table].indexes):
        column = ddl.split("(", 1)[1].split(",")[0].split(")")[0]
        if table.startswith("fact_") and column != "id" and not ranges.has_index(crm, table, column):
            yield Finding("warning", table, f"no index on {column}", ddl.replace("INDEX", "INDEX CONCURRENTLY") + ";")
