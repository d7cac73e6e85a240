"""The CRM's four tables: connecting, checking columns and types, and reading values exactly.

Everything is read over `SOURCE_DATABASE_URL`; nothing is written there. The tables may be views, and amounts may be
numeric, float or integer. The types are read once per run and stored in its plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

import postgres
from errors import SourceError
from postgres import named_connection, scalar

Connection = psycopg.Connection[tuple[Any, ...]]

INTEGERS = frozenset({"smallint", "integer", "bigint"})
FLOATS = frozenset({"real", "double precision"})
TEXTS = frozenset({"text", "character varying"})
AMOUNT = "amount"

REQUIRED: dict[str, dict[str, frozenset[str] | str]] = {
    "fact_transactions": {
        "transaction_id": INTEGERS,
        "mobile_id": TEXTS,
        "total_amount": AMOUNT,
        "created_at": frozenset({"timestamp with time zone"}),
    },
    "fact_transaction_items": {
        "transaction_id": INTEGERS,
        "item_id": INTEGERS,
        "quantity": AMOUNT,
        "price": AMOUNT,
    },
    "dim_menu_items": {"item_id": INTEGERS, "menu_item_name": TEXTS, "category": TEXTS},
}
TIMES = frozenset({"time without time zone"})
OPTIONAL: dict[str, dict[str, frozenset[str] | str]] = {
    "dim_menu_daytimes": {"daytime_id": INTEGERS, "daytime_label": TEXTS, "start_time": TIMES, "end_time": TIMES},
}
_MODIFIER = re.compile(r"\(\d+(,-?\d+)?\)")


@dataclass(frozen=True)
class Daytime:
    """A row of `dim_menu_daytimes`; times in microseconds after midnight."""

    daytime_id: int
    label: str
    start: int
    end: int


_idle: ContextVar[dict[str, postgres.Connection] | None] = ContextVar("idle", default=None)  # by URL, within `kept`


@contextmanager
def connect(url: str, *, isolation: str = "READ COMMITTED") -> Iterator[Connection]:
    """A read-only transaction on the CRM's database, on a connection of its own, or on one that is `kept`.

    Raises
    ------
    UnavailableError
        When it can't be reached.
    """
    idle = _idle.get()
    connection = idle.pop(url, None) if idle else None
    connection = connection or named_connection(url, "SOURCE_DATABASE_URL")
    try:
        connection.begin(isolation, read_only=True)
        yield connection
        connection.commit()
        if idle is not None and url not in idle:
            idle[url], connection = connection, None
    finally:
        if connection is not None:
            connection.close()


@contextmanager
def kept() -> Iterator[None]:
    """Keep a connection from one `connect` to the next within this block, which should take seconds.

    A new one takes longer than a small query, and its first statements read the catalog again. It is not kept for
    longer, so that it need not be noticed that the URL leads to another server by now.
    """
    idle: dict[str, postgres.Connection] = {}
    token = _idle.set(idle)
    try:
        yield
    finally:
        _idle.reset(token)
        for connection in idle.values():
            connection.close()


def column_types(source: Connection, table: str) -> dict[str, str]:
    """Check one of the REQUIRED or OPTIONAL tables and return its columns' types, such as `numeric(12,2)`.

    Raises
    ------
    SourceError
        When the table, a column or the right to read it is missing, or a column has a wrong type.
    """
    found, errors = column_errors(source, table)
    for error in errors.values():
        raise error
    return found


def column_errors(source: Connection, table: str) -> tuple[dict[str, str], dict[str, SourceError]]:
    """A table's columns with their types, and the errors of needed columns, by column.

    Raises
    ------
    SourceError
        When there is no such table.
    """
    rows = source.execute(
        "SELECT attname, format_type(atttypid, atttypmod), has_column_privilege(attrelid, attnum, 'SELECT')"
        " FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        [table],
    ).fetchall()
    found: dict[str, str] = {column: type_name for column, type_name, _ in rows}
    readable = {column for column, _, may_read in rows if may_read}
    if not found:
        raise SourceError(f"The source has no table {table}.", code="source_table_missing")
    errors = {}
    for column, accepted in (REQUIRED | OPTIONAL)[table].items():
        error = _column_error(table, column, found.get(column), accepted, readable=column in readable)
        if error is not None:
            errors[column] = error
    return found, errors


def _column_error(
    table: str, column: str, found: str | None, accepted: frozenset[str] | str, *, readable: bool
) -> SourceError | None:
    if found is None:
        return SourceError(f"The source table {table} has no column {column}.", code="source_column_missing")
    suits = is_amount(found) if accepted == AMOUNT else _bare(found) in accepted
    if not suits:
        return SourceError(
            f"The source column {table}.{column} has type {found}, which can't be read as"
            f" {'an amount' if accepted == AMOUNT else ' or '.join(sorted(accepted))}.",
            code="source_column_type",
        )
    if not readable:
        return SourceError(f"The source column {table}.{column} may not be read by this user.", code="source_denied")
    return None


def is_amount(kind: str) -> bool:
    """Whether a column of this type can be read as exact numbers."""
    return _bare(kind) in INTEGERS | FLOATS | {"numeric"}


def _bare(kind: str) -> str:
    return _MODIFIER.sub("", kind)  # without length; an array keeps its brackets


def identity(source: Connection) -> list[Any]:
    """The database's name and the table's oid, which are the same on all replicas."""
    row = source.execute("SELECT current_database(), to_regclass('fact_transactions')::oid::bigint").fetchone()
    return list(row or ())


def exact(column: sql.Composable, type_name: str) -> sql.Composable:
    """The column as exact numeric; a float by its decimal text, as users see it."""
    if type_name in FLOATS:
        return sql.SQL("({})::text::numeric").format(column)
    return column if type_name.startswith("numeric") else sql.SQL("({})::numeric").format(column)


def cents(column: sql.Composable, type_name: str) -> sql.Composable:
    """The column in whole cents, rounded half away from zero as a cast of numeric does; for finite values only."""
    return sql.SQL("(100 * {})::bigint").format(exact(column, type_name))


def finite(value: sql.Composable, type_name: str) -> sql.Composable:
    """The SQL condition that a value is neither NULL, NaN nor infinite; it may be NULL instead of false.

    Evaluated for every row, so it has to be cheap: scale() is NULL for a numeric that is not finite.
    """
    if type_name in INTEGERS:
        return sql.SQL("{} IS NOT NULL").format(value)
    if type_name.startswith("numeric"):
        return sql.SQL("scale({}) IS NOT NULL").format(value)
    return sql.SQL("({0} < 'Infinity' AND {0} > '-Infinity')").format(value)


def daytimes(source: Connection) -> list[Daytime]:
    """The CRM's dayparts in order of their ids; empty if the table is absent or empty."""
    if scalar(source, "SELECT to_regclass('dim_menu_daytimes')") is None:
        return []
    column_types(source, "dim_menu_daytimes")
    try:
        rows = source.execute(
            "SELECT daytime_id::int, coalesce(daytime_label::text, ''),"
            " (extract(epoch FROM start_time::time) * 1000000)::bigint,"
            " (extract(epoch FROM end_time::time) * 1000000)::bigint"
            " FROM dim_menu_daytimes ORDER BY 1"
        ).fetchall()
    except psycopg.Error as error:
        reason = error.diag.message_primary or "unreadable"
        raise SourceError(f"The source table dim_menu_daytimes can't be read: {reason}.") from None
    for daytime_id, label, start, end in rows:
        if None in (daytime_id, start, end):
            raise SourceError(f"The source table dim_menu_daytimes has a NULL id or time ({daytime_id} {label!r}).")
    return [Daytime(*row) for row in rows]


def has_orders(url: str) -> bool:
    """Whether `fact_transactions` exists and has rows."""
    with connect(url) as source:
        if scalar(source, "SELECT to_regclass('fact_transactions')") is None:
            return False
        return bool(scalar(source, "SELECT EXISTS (SELECT FROM fact_transactions)"))


def sorts_as_its_database(source: Connection, table: str, column: str) -> bool:
    """Whether a column has its database's default collation."""
    return bool(
        scalar(
            source,
            "SELECT attcollation = 'pg_catalog.\"default\"'::regcollation FROM pg_attribute"
            " WHERE attrelid = to_regclass(%s) AND attname = %s",
            table,
            column,
        )
    )
