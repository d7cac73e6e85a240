"""What `smartcrm doctor` checks of the CRM's tables: rights, indexes, statistics; each finding with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import psycopg

from errors import SmartCRMError
from postgres import scalar
from source import mending, ranges, reading
from source.tables import SOURCE_TABLES

OLDEST = 150_000  # PostgreSQL 15, as server_version_num
Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, what was found, and what to do about it."""

    level: Level
    subject: str
    found: str
    remedy: str = ""


def version(subject: str, connection: reading.Connection) -> Finding:
    """Whether a server is new enough."""
    number = int(scalar(connection, "SELECT current_setting('server_version_num')"))
    told = f"PostgreSQL {number // 10_000}"
    if number < OLDEST:
        return Finding("fault", subject, told, "PostgreSQL 15 or newer is needed.")
    return Finding("ok", subject, told)


def orders(url: str, *, separate: bool, timezone: str) -> Iterator[Finding]:
    """The CRM's tables: readable as the contract says, not writable, indexed and analyzed.

    `separate` says that the orders have a user or a database of their own, which then should only read. What is wrong
    with columns is told all at once, with the view that mends a table's; `timezone` is that of times without one.
    """
    try:
        with reading.connect(url) as crm:
            yield version("source database", crm)
            for table in reading.REQUIRED:
                wrong = list(_columns(crm, table, timezone))
                yield from wrong or _table(crm, table, separate)
    except (SmartCRMError, psycopg.Error) as error:
        told = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        yield Finding("fault", "source", told or str(error), "Offer the tables or views that the README names.")


def _columns(crm: reading.Connection, table: str, timezone: str) -> Iterator[Finding]:
    try:
        types, errors = reading.column_errors(crm, table)
    except SmartCRMError as missing:
        yield Finding("fault", table, str(missing), "Offer a table or view of this name, as the README says.")
        return
    user = str(scalar(crm, "SELECT quote_ident(current_user)"))
    denied = [column for column, error in errors.items() if error.code == "source_denied"]
    if denied:
        remedy = f"GRANT SELECT ON {table} TO {user};"
        yield Finding("fault", table, " ".join(str(errors[column]) for column in denied), remedy)
    wrong = {column: types.get(column) for column in errors if column not in denied}
    if wrong:
        schema = str(scalar(crm, "SELECT relnamespace::regnamespace FROM pg_class WHERE oid = to_regclass(%s)", table))
        columns = [*reading.REQUIRED[table], *(name for name in ("id", "price", "cost") if name in types)]
        remedy = mending.statements(table, schema, dict.fromkeys(columns), wrong, user, timezone)
        yield Finding("fault", table, " ".join(str(errors[column]) for column in wrong), remedy)


def _table(crm: reading.Connection, table: str, separate: bool) -> Iterator[Finding]:
    rows = ranges.estimated_rows(crm, table)
    yield Finding("ok", table, f"readable, about {rows:,} rows")
    if separate and scalar(crm, "SELECT has_table_privilege(%s, 'INSERT, UPDATE, DELETE, TRUNCATE')", table):
        user = scalar(crm, "SELECT quote_ident(current_user)")
        remedy = f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {table} FROM {user};"
        yield Finding("warning", table, "this user may write to it, and SELECT is enough", remedy)
    kind, analyzed = crm.execute(
        "SELECT relkind::text, reltuples >= 0 FROM pg_class WHERE oid = to_regclass(%s)", [table]
    ).fetchone() or ("", True)
    if kind not in ("r", "m", "p"):
        yield Finding("ok", table, "a view: its tables' indexes are the CRM's to check")
        return
    if not analyzed:
        yield Finding("warning", table, "never analyzed, so PostgreSQL guesses its plans", f"ANALYZE {table};")
    for ddl in (f"CREATE INDEX ON {table} ({SOURCE_TABLES[table].key})", *SOURCE_TABLES[table].indexes):
        column = ddl.split("(", 1)[1].split(",")[0].split(")")[0]
        if table.startswith("fact_") and column != "id" and not ranges.has_index(crm, table, column):
            yield Finding("warning", table, f"no index on {column}", ddl.replace("INDEX", "INDEX CONCURRENTLY") + ";")
