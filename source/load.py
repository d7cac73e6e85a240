"""`smartcrm load`: loads files into the source tables, in one transaction; nothing else writes there.

A file is read as columns of text. Each value is converted, or refused with its line, and COPY writes the rows to a
temporary table. There text ids get numbers; then the rows are inserted into the source tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql

from errors import LoadError, UnavailableError
from postgres import named_connection, scalar
from source.loading.columns import SALES, TABLES, choose
from source.loading.files import SourceFile, open_file
from source.loading.landing import Connection, Landing, land
from source.loading.maps import Map
from source.loading.numbers import ITEMS, ORDERS, give_numbers
from source.loading.options import Options
from source.loading.report import Loaded
from source.loading.sales import remove_left_out, split
from source.loading.values import MIXED, Reader
from source.loading.writing import reason_of, write
from source.tables import SOURCE_TABLES, SourceTable

Progress = Callable[[str, int, int], None]
LOCK = 7_390_214  # advisory lock: concurrent loads would assign the same numbers


def load(
    database_url: str,
    files: Mapping[str, Path],
    *,
    timezone: str,
    options: Options | None = None,
    columns: Map | None = None,
    progress: Progress = lambda *_: None,
) -> Loaded:
    """Load each table's file, all or nothing.

    Missing tables are created, with the recommended indexes. Times without an offset are in `timezone`; only an empty
    field is NULL; columns that the table does not have are ignored. `columns` maps our column names to the files'.
    `progress` is called with the table, the bytes or rows done, and their total.

    Raises
    ------
    LoadError
        With the file, line, column and reason of the first bad row; nothing is loaded then.
    UnavailableError
        When PostgreSQL can't be reached.
    """
    options = _options(options, columns)
    mapped = columns.columns if columns is not None else {}
    opened = {}
    for name, path in files.items():
        file = open_file(path, options)
        ours = {column.name for column in TABLES[name]}
        of_table = {column: names for column, names in mapped.items() if column in ours}
        opened[name] = (file, choose(TABLES[name], file, of_table, name))
    with _source_tables(database_url, timezone) as (connection, loaded):
        landings: dict[str, Landing] = {}
        for name, (file, fields) in opened.items():
            reader = Reader(options, ZoneInfo(timezone))
            landing = land(
                connection, f"landed_{name}", file, fields, reader, lambda *of, name=name: progress(name, *of)
            )
            _add_warnings(loaded, file, reader)
            landings[name] = landing
        for numbering in (ORDERS, ITEMS):
            give_numbers(connection, numbering, list(landings.values()), loaded)
        write(connection, landings, options.on_conflict, loaded, derived=False)
    return loaded


def load_sales(
    database_url: str,
    path: Path,
    sales_map: Map,
    *,
    timezone: str,
    options: Options | None = None,
    progress: Progress = lambda *_: None,
) -> Loaded:
    """Load a flat export, one row per sold line, as orders, lines and menu items; all or nothing.

    Raises
    ------
    LoadError, UnavailableError
        As `load` does.
    """
    options = _options(options, sales_map)
    file = open_file(path, options)
    target = "orders and lines"
    fields = choose(SALES, file, sales_map.columns, target, only_mapped=True, lenient=sales_map.shipped)
    if not {"total_amount", "price", "line_total"} & {each.column.name for each in fields}:
        raise LoadError(f"{sales_map.path} names no amounts: total_amount, line_total or price is needed.")
    with _source_tables(database_url, timezone) as (connection, loaded):
        absent = sorted(set(sales_map.columns) - {each.column.name for each in fields})
        if absent:
            loaded.warnings.append(f"{path} has no columns for {', '.join(absent)} of the map {sales_map.path.stem}")
        reader = Reader(options, ZoneInfo(timezone))
        sales = land(connection, "sales", file, fields, reader, lambda *of: progress("sales", *of))
        _add_warnings(loaded, file, reader)
        landings = split(connection, sales, sales_map, loaded)
        write(connection, landings, options.on_conflict, loaded, derived=True)
        if options.on_conflict == "update":
            remove_left_out(connection, loaded)
    return loaded


def _options(options: Options | None, from_map: Map | None) -> Options:
    options = options or Options()
    return options.or_else(from_map.options) if from_map is not None else options


def _add_warnings(loaded: Loaded, file: SourceFile, reader: Reader) -> None:
    for name in reader.texts - reader.whole:
        reader.remarks.drop(name, MIXED)
    lines = file.lines_of(reader.remarks.first_records())
    loaded.warnings += reader.remarks.messages(file.path, file.unit, lines)


@contextmanager
def _source_tables(database_url: str, timezone: str) -> Iterator[tuple[Connection, Loaded]]:
    """A transaction in which the source tables exist; indexes and statistics are created at its end."""
    connection = named_connection(database_url, "SOURCE_DATABASE_URL")
    loaded = Loaded()
    try:
        with connection:
            connection.begin()
            connection.execute("SELECT set_config('timezone', %s, true)", [timezone])
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            made = [table for table in SOURCE_TABLES.values() if _make(connection, table)]
            loaded.made = [table.name for table in made]
            yield connection, loaded
            for ddl in (ddl for table in made for ddl in table.indexes):
                connection.execute(ddl)
            for name in loaded.rows:
                connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name)))
    except psycopg.OperationalError as error:
        raise UnavailableError(f"PostgreSQL aborted the load: {reason_of(error)}; nothing was loaded.") from None
    except psycopg.Error as error:
        raise LoadError(f"The source tables can't be written: {reason_of(error)}; nothing was loaded.") from None


def _make(connection: Connection, table: SourceTable) -> bool:
    if scalar(connection, "SELECT to_regclass(%s)", table.name) is not None:
        return False
    connection.execute(table.ddl)
    return True
