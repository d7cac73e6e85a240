"""`smartcrm load`: files into the source tables, by COPY, in one transaction; the only thing that writes there.

PostgreSQL's COPY is the parser. A file lands in a temporary table with the columns' types (integers as numeric,
since `6.0` is how pandas writes a 6 beside a hole) and goes on from there into the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from errors import LoadError, UnavailableError
from postgres import named_connection, scalar
from source.files import SourceFile, open_file
from source.tables import SOURCE_TABLES, SourceTable

Connection = psycopg.Connection[Any]
Progress = Callable[[int, int], None]
RANGES = {"bigint": 2**63, "int": 2**31}
PLACE = re.compile(r"line (\d+)(?:, column ([^:]+?))?(?::|$)")
TIME_WORDS = frozenset({"now", "today", "tomorrow", "yesterday", "epoch", "allballs"})
TIME_WORD = re.compile(rb"(?i)\b(now|today|tomorrow|yesterday|epoch|allballs)\b")


def load(
    database_url: str,
    files: Mapping[str, Path],
    *,
    timezone: str,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> dict[str, int]:
    """Load each table's file, all or nothing; returns the number of rows by table.

    Tables that are missing are made, with their recommended indexes. Times without an offset are in `timezone`;
    only an empty field is NULL; columns that the table does not have are passed over. `progress` is told the
    table, how much is done, and how much there is.

    Raises
    ------
    LoadError
        With the file, line, column and reason of the first bad row; nothing is loaded then.
    UnavailableError
        When PostgreSQL can't be reached.
    """
    opened = {name: _open(SOURCE_TABLES[name], path) for name, path in files.items()}
    connection = named_connection(database_url, "SOURCE_DATABASE_URL")
    try:
        with connection:
            connection.begin()
            connection.execute("SELECT set_config('timezone', %s, true)", [timezone])
            made = [table for table in SOURCE_TABLES.values() if _make(connection, table)]
            loaded = {
                name: _load_file(connection, SOURCE_TABLES[name], file, lambda *of, name=name: progress(name, *of))
                for name, file in opened.items()
            }
            for ddl in (ddl for table in made for ddl in table.indexes):
                connection.execute(ddl)
            for name in loaded:
                connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name)))
    except psycopg.OperationalError as fault:
        raise UnavailableError(f"PostgreSQL broke off the load: {_reason(fault)}.") from None
    except psycopg.Error as fault:
        raise LoadError(f"The source tables can't be written: {_reason(fault)}.") from None
    return loaded


def _open(table: SourceTable, path: Path) -> SourceFile:
    of_type = {kind: {name for name, its in table.columns.items() if its == kind} for kind in table.columns.values()}
    whole = of_type.get("bigint", set()) | of_type.get("int", set())
    file = open_file(path, whole=whole, times=of_type.get("timestamptz", set()) | of_type.get("time", set()))
    missing = [column for column in table.columns if column not in file.columns]
    if missing:
        raise LoadError(f"{path} has no column {missing[0]} for {table.name}; it has {', '.join(file.columns)}.")
    return file


def _make(connection: Connection, table: SourceTable) -> bool:
    if scalar(connection, "SELECT to_regclass(%s)", table.name) is not None:
        return False
    connection.execute(table.ddl)
    return True


def _load_file(
    connection: Connection, table: SourceTable, file: SourceFile, progress: Callable[[int, int], None]
) -> int:
    _land(connection, table, file, progress)
    _check_whole_numbers(connection, table, file)
    if not _has_key(connection, table):
        _raise_for_key(connection, table, file)
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    insert = sql.SQL("INSERT INTO {} ({columns}) SELECT {columns} FROM landing ORDER BY smartcrm_record").format(
        sql.Identifier(table.name), columns=columns
    )
    try:
        with connection.transaction():
            rows = connection.execute(insert).rowcount
    except (psycopg.errors.UniqueViolation, psycopg.errors.NotNullViolation) as fault:
        _raise_for_key(connection, table, file)
        raise LoadError(f"{file.path}: {_reason(fault)}.") from None
    connection.execute("DROP TABLE landing")
    return rows


def _land(connection: Connection, table: SourceTable, file: SourceFile, progress: Progress) -> None:
    kinds = {"bigint": "numeric", "int": "numeric"}
    columns = [
        sql.SQL("{} {}").format(
            sql.Identifier(name), sql.SQL(kinds.get(table.columns.get(name, "text"), table.columns.get(name, "text")))
        )
        for name in file.columns
    ]
    connection.execute(
        sql.SQL("CREATE TEMP TABLE landing ({}, smartcrm_record bigint GENERATED ALWAYS AS IDENTITY)").format(
            sql.SQL(", ").join(columns)
        )
    )
    names = sql.SQL(", ").join(map(sql.Identifier, file.columns))
    copy = sql.SQL("COPY landing ({names}) FROM STDIN (FORMAT csv, HEADER {header}, FORCE_NULL ({names}))").format(
        names=names, header=sql.SQL("true" if file.has_header else "false")
    )
    words = False
    try:
        with connection.cursor().copy(copy) as into:
            for block in file.blocks(progress):
                words = words or TIME_WORD.search(block) is not None
                into.write(block)
    except psycopg.DataError as fault:
        found = PLACE.search(fault.diag.context or "")
        line, column = found.groups() if found else (None, None)
        _refuse(file, line, column, _reason(fault))
    if words:
        _check_times(table, file)


def _check_times(table: SourceTable, file: SourceFile) -> None:
    """Refuse words that PostgreSQL takes for times: what they mean would depend on when they were loaded."""
    for column, kind in table.columns.items():
        if kind in ("timestamptz", "time"):
            for record, value in enumerate(file.values(column), 1):
                if value.strip().lower() in TIME_WORDS:
                    _refuse(file, file.line_of(record), column, f'"{value}" is not a time')


def _check_whole_numbers(connection: Connection, table: SourceTable, file: SourceFile) -> None:
    for column, kind in table.columns.items():
        if kind in RANGES:
            query = sql.SQL(
                "SELECT smartcrm_record, {column}::text FROM landing WHERE {column} <> trunc({column})"
                " OR {column} < -{limit} OR {column} >= {limit} ORDER BY smartcrm_record LIMIT 1"
            ).format(column=sql.Identifier(column), limit=sql.Literal(RANGES[kind]))
            bad = connection.execute(query).fetchone()
            if bad is not None:
                _refuse(file, file.line_of(bad[0]), column, f'"{bad[1]}" is not a whole number of type {kind}')


def _has_key(connection: Connection, table: SourceTable) -> bool:
    """Whether PostgreSQL itself refuses a key that is missing or repeated: a table of the CRM's own making may not."""
    query = (
        "SELECT EXISTS (SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]"
        " WHERE indrelid = to_regclass(%s) AND attname = %s AND indisprimary AND indnkeyatts = 1)"
    )
    return bool(scalar(connection, query, table.name, table.key))


def _raise_for_key(connection: Connection, table: SourceTable, file: SourceFile) -> None:
    """Name the first record whose key is missing, or was there already or before it."""
    query = sql.SQL(
        "SELECT smartcrm_record, {key}::text FROM (SELECT smartcrm_record, {key},"
        " count(*) OVER (PARTITION BY {key} ORDER BY smartcrm_record) AS times FROM landing) AS keys"
        " WHERE {key} IS NULL OR times > 1 OR {key} IN (SELECT {key} FROM {table}) ORDER BY smartcrm_record LIMIT 1"
    ).format(key=sql.Identifier(table.key), table=sql.Identifier(table.name))
    bad = connection.execute(query).fetchone()
    if bad is not None:
        reason = "is missing" if bad[1] is None else f"{bad[1]} is there already"
        _refuse(file, file.line_of(bad[0]), table.key, f"the key {reason}")


def _refuse(file: SourceFile, line: object, column: str | None, reason: str) -> None:
    where = "".join((f", {file.unit} {line}" if line else "", f", column {column}" if column else ""))
    raise LoadError(f"{file.path}{where}: {reason}; nothing was loaded.")


def _reason(fault: psycopg.Error) -> str:
    return (fault.diag.message_primary or str(fault).strip().splitlines()[0]).rstrip(".")
