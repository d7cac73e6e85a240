"""Writing rows from a landing to its source table, with the handling of keys that exist already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from errors import LoadError
from postgres import scalar
from source.loading.landing import Connection, Landing
from source.loading.lines import LINES, add_columns, make_room
from source.loading.options import OnConflict
from source.loading.report import Loaded
from source.tables import SOURCE_TABLES, SourceTable

ORDERS = "fact_transactions"


def write(
    connection: Connection, landings: Mapping[str, Landing], on_conflict: OnConflict, loaded: Loaded, *, derived: bool
) -> None:
    """Write each landing's rows; `derived`: the menu comes from sales, so its items may exist already.

    Raises
    ------
    LoadError
        With the first row that a table refuses.
    """
    for name in ("dim_menu_daytimes", "dim_menu_items", ORDERS, LINES):
        if name not in landings:
            continue
        landing, table = landings[name], SOURCE_TABLES[name]
        how: OnConflict = "skip" if derived and name == "dim_menu_items" and on_conflict == "refuse" else on_conflict
        if name == LINES:
            add_columns(connection, landing)
        _widen(connection, table, landing, loaded)
        types = _types(connection, table, landing, loaded)
        _require_whole(connection, table, landing, types)
        if name == LINES:
            make_room(connection, landing, how, loaded, landings.get(ORDERS))
        _write_rows(connection, table, landing, list(types), how, loaded)
        if derived and name == "dim_menu_items":
            loaded.skipped.pop(name, None)


def _types(connection: Connection, table: SourceTable, landing: Landing, loaded: Loaded) -> dict[str, str]:
    """The table's types of the columns to write; optional columns that it does not have are ignored."""
    query = (
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
    )
    has: dict[str, str] = dict(connection.execute(query, [table.name]).fetchall())
    lacking = [column for column in landing.columns if column not in has]
    for column in lacking:
        if column not in table.optional:
            raise LoadError(f"{table.name} has no column {column}; nothing was loaded.")
        loaded.warnings.append(f"{table.name} has no column {column}, so that of {landing.file.path} was ignored")
    return {column: has[column] for column in table.columns if column in landing.columns and column in has}


def _widen(connection: Connection, table: SourceTable, landing: Landing, loaded: Loaded) -> None:
    """Widen the narrow columns of a new, still empty table if the values need it."""
    for column in table.made_as if table.name in loaded.made else ():
        query = "SELECT EXISTS (SELECT FROM {} WHERE {column} <> trunc({column}) OR abs({column}) >= 2147483648)"
        names = (landing.table, sql.Identifier(column))
        if column in landing.columns and scalar(connection, sql.SQL(query).format(names[0], column=names[1])):
            wide = sql.SQL("ALTER TABLE {} ALTER {} TYPE {}")
            connection.execute(wide.format(sql.Identifier(table.name), names[1], sql.SQL(table.columns[column])))


def _require_whole(connection: Connection, table: SourceTable, landing: Landing, types: Mapping[str, str]) -> None:
    """Refuse fractions for an integer column, since PostgreSQL would round them."""
    for column, kind in types.items():
        if kind in ("smallint", "integer", "bigint") and table.columns[column] == "numeric":
            query = (
                "SELECT record, {column}::text FROM {landing} WHERE {column} <> trunc({column}) ORDER BY record LIMIT 1"
            )
            names = {"landing": landing.table, "column": sql.Identifier(column)}
            bad = connection.execute(sql.SQL(query).format(**names)).fetchone()
            if bad is not None:
                remedy = f"ALTER TABLE {table.name} ALTER COLUMN {column} TYPE numeric"
                reason = f'"{bad[1]}" is not whole, and {table.name}.{column} is {kind}; {remedy} fixes that'
                landing.refuse(bad[0], column, reason)


def _write_rows(
    connection: Connection, table: SourceTable, landing: Landing, columns: list[str], how: OnConflict, loaded: Loaded
) -> None:
    names = {
        "table": sql.Identifier(table.name),
        "landing": landing.table,
        "key": sql.Identifier(table.key),
        "columns": sql.SQL(", ").join(map(sql.Identifier, columns)),
    }
    if how != "refuse":
        _require_keys(connection, names, landing, table)
        _drop_repeats(connection, names, landing, table, how, loaded)
    elif not _has_key(connection, table):
        _raise_for_key(connection, names, landing, table)
    if how == "update":
        others = [column for column in columns if column != table.key]
        pairs = {
            "ours": sql.SQL(", ").join(sql.Identifier(table.name, column) for column in others),
            "new": sql.SQL(", ").join(sql.Identifier(landing.name, column) for column in others),
            "others": sql.SQL(", ").join(map(sql.Identifier, others)),
        }
        query = (
            "UPDATE {table} SET ({others}) = ROW({new}) FROM {landing} WHERE {table}.{key} = {landing}.{key}"
            " AND ROW({ours}) IS DISTINCT FROM ROW({new}) AND {landing}.record BETWEEN %s AND %s"
        )
        loaded.updated[table.name] = _each_record(
            connection, sql.SQL(query).format(**names, **pairs), table, landing, names
        )
    query = (
        "INSERT INTO {table} ({columns}) SELECT {columns} FROM {landing} WHERE record BETWEEN %s AND %s{new}"
        " ORDER BY record"
    )
    new = "" if how == "refuse" else " AND NOT EXISTS (SELECT FROM {table} WHERE {table}.{key} = {landing}.{key})"
    insert = sql.SQL(query).format(**names, new=sql.SQL(new).format(**names))
    count = scalar(connection, sql.SQL("SELECT count(*) FROM {landing}").format(**names)) if how == "skip" else 0
    rows = _each_record(connection, insert, table, landing, names)
    loaded.rows[table.name] = rows
    if how == "skip":
        loaded.skipped[table.name] = loaded.skipped.get(table.name, 0) + count - rows


def _has_key(connection: Connection, table: SourceTable) -> bool:
    """Whether the table has a primary key; the CRM's own table may have none."""
    query = (
        "SELECT EXISTS (SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]"
        " WHERE indrelid = to_regclass(%s) AND attname = %s AND indisprimary AND indnkeyatts = 1)"
    )
    return bool(scalar(connection, query, table.name, table.key))


def _require_keys(connection: Connection, names: Mapping[str, Any], landing: Landing, table: SourceTable) -> None:
    query = "SELECT min(record) FROM {landing} WHERE {key} IS NULL"
    record = scalar(connection, sql.SQL(query).format(**names))
    if record is not None:
        landing.refuse(record, table.key, "the key is missing")


def _raise_for_key(connection: Connection, names: Mapping[str, Any], landing: Landing, table: SourceTable) -> None:
    """Refuse the first record whose key is missing, exists already, or is repeated."""
    query = (
        "SELECT record, {key}::text, {key} IN (SELECT {key} FROM {table}) FROM (SELECT record, {key},"
        " count(*) OVER (PARTITION BY {key} ORDER BY record) AS times FROM {landing}) AS keys"
        " WHERE {key} IS NULL OR times > 1 OR {key} IN (SELECT {key} FROM {table}) ORDER BY record LIMIT 1"
    )
    bad = connection.execute(sql.SQL(query).format(**names)).fetchone()
    if bad is not None and bad[1] is None:
        landing.refuse(bad[0], table.key, "the key is missing")
    if bad is not None:
        shown = bad[1]
        if table.key in landing.texts:
            query = "SELECT {key_text} FROM {landing} WHERE record = %s"
            text = sql.SQL(query).format(**names, key_text=sql.Identifier(f"{table.key}_text"))
            shown = scalar(connection, text, bad[0]) or shown
        advice = " (--on-conflict update replaces rows, skip keeps them)" if bad[2] else ""
        landing.refuse(bad[0], table.key, f"the key {shown} exists already{advice}")


def _drop_repeats(
    connection: Connection,
    names: Mapping[str, Any],
    landing: Landing,
    table: SourceTable,
    how: OnConflict,
    loaded: Loaded,
) -> None:
    """Of records with the same key, keep the last for update, the first for skip."""
    query = (
        "DELETE FROM {landing} USING (SELECT record, row_number() OVER (PARTITION BY {key} ORDER BY record {order})"
        " AS place FROM {landing}) AS numbered WHERE numbered.record = {landing}.record AND place > 1"
    )
    order = sql.SQL("DESC" if how == "update" else "ASC")
    repeats = connection.execute(sql.SQL(query).format(**names, order=order)).rowcount
    if repeats:
        kept = "last" if how == "update" else "first"
        loaded.warnings.append(
            f"{landing.file.path}: rows that repeat a {table.key}, of which the {kept} was used ({repeats:,})"
        )
        loaded.skipped[table.name] = loaded.skipped.get(table.name, 0) + repeats


def _each_record(
    connection: Connection, query: sql.Composed, table: SourceTable, landing: Landing, names: Mapping[str, Any]
) -> int:
    """Run a statement for all records; if the table refuses one, find the first by bisection and name it."""
    bounds = sql.SQL("SELECT min(record), max(record) FROM {landing}").format(**names)
    first, last = connection.execute(bounds).fetchone() or (None, None)
    if first is None:
        return 0
    try:
        with connection.transaction():
            return connection.execute(query, [first, last]).rowcount
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        refused = error
    if isinstance(refused, psycopg.errors.UniqueViolation | psycopg.errors.NotNullViolation):
        _raise_for_key(connection, names, landing, table)
    while first < last:
        middle = (first + last) // 2
        try:
            with connection.transaction():
                connection.execute(query, [first, middle])
            first = middle + 1
        except psycopg.Error as error:
            refused, last = error, middle
    landing.refuse(first, _column_of(connection, refused, table, landing, names, first), reason_of(refused))


def _column_of(
    connection: Connection,
    error: psycopg.Error,
    table: SourceTable,
    landing: Landing,
    names: Mapping[str, Any],
    record: int,
) -> str | None:
    """The column because of which a row was refused."""
    if error.diag.column_name:
        return error.diag.column_name
    if error.diag.constraint_name:
        query = (
            "SELECT attname FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]"
            " WHERE conrelid = to_regclass(%s) AND conname = %s"
        )
        found = scalar(connection, query, table.name, error.diag.constraint_name)
        return str(found) if found is not None else None
    query = "CREATE TEMP TABLE one_row ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA"
    connection.execute(sql.SQL(query).format(**names))
    for column in (column for column in table.columns if column in landing.columns):
        query = "INSERT INTO one_row ({column}) SELECT {column} FROM {landing} WHERE record = %s"
        try:
            with connection.transaction():
                connection.execute(sql.SQL(query).format(**names, column=sql.Identifier(column)), [record])
        except psycopg.Error:
            return column
    return None


def reason_of(error: psycopg.Error) -> str:
    """PostgreSQL's primary message, without its detail, which may have a customer's id."""
    return (error.diag.message_primary or str(error).strip().splitlines()[0]).rstrip(".")
