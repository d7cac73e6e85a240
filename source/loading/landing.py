"""Temporary tables (landings) for a file's rows, with the columns' types and each row's record number."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from psycopg import sql

from errors import LoadError
from source.loading.columns import Field
from source.loading.files import SourceFile
from source.loading.streams import Progress
from source.loading.texts import BadValueError
from source.loading.values import Kind, Reader

Connection = psycopg.Connection[Any]
TYPES: dict[Kind, str] = {
    "key": "bigint",
    "line": "bigint",
    "whole": "int",
    "customer": "text",
    "amount": "numeric",
    "quantity": "numeric",
    "time": "timestamptz",
    "clock": "time",
    "text": "text",
}


@dataclass
class Landing:
    """A temporary table with the rows of one file; `record` is the number of the file's record.

    A key has a second column named `…_text`, for ids that are not whole numbers until they get a number.
    """

    name: str
    file: SourceFile
    columns: list[str]
    texts: set[str] = field(default_factory=set)  # keys that have such ids

    @property
    def table(self) -> sql.Identifier:
        """The temporary table's name."""
        return sql.Identifier(self.name)

    def refuse(self, record: int | None, column: str | None, reason: str) -> NoReturn:
        """Refuse the file for one record.

        Raises
        ------
        LoadError
            Always.
        """
        raise refusal(self.file, record, column, reason)


def refusal(file: SourceFile, record: int | None, column: str | None, reason: str) -> LoadError:
    """The error with file, line, column and reason."""
    where = f", {file.unit} {file.lines_of([record]).get(record, record)}" if record else ""
    where += f", column {column}" if column else ""
    return LoadError(f"{file.path}{where}: {reason}; nothing was loaded.")


def land(
    connection: Connection, name: str, file: SourceFile, fields: Sequence[Field], reader: Reader, progress: Progress
) -> Landing:
    """Copy a file's columns into a new temporary table.

    Raises
    ------
    LoadError
        With the line of the first value that can't be loaded.
    """
    columns = ["record bigint"]
    names = ["record"]
    for each in fields:
        column = each.column
        columns.append(f"{column.name} {TYPES[column.kind]}")
        names.append(column.name)
        if column.kind == "key":
            columns.append(f"{column.name}_text text")
            names.append(f"{column.name}_text")
    landing = Landing(name, file, [each.column.name for each in fields], reader.texts)
    connection.execute(
        sql.SQL("CREATE TEMP TABLE {} ({}) ON COMMIT DROP").format(landing.table, sql.SQL(", ".join(columns)))
    )
    copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        landing.table, sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with connection.cursor().copy(copy) as into:
        for table in _tables(file, fields, reader, names, progress):
            text = io.BytesIO()
            pa_csv.write_csv(table, text, pa_csv.WriteOptions(include_header=False))
            into.write(text.getbuffer())
    return landing


def _tables(
    file: SourceFile, fields: Sequence[Field], reader: Reader, names: list[str], progress: Progress
) -> Iterator[pa.Table]:
    places = [place for each in fields for place in each.places]
    record = 1
    for arrays in file.batches(places, progress):
        count, taken, columns = len(arrays[0]), 0, []
        for each in fields:
            parts = arrays[taken : taken + len(each.places)]
            taken += len(each.places)
            try:
                columns += reader.read(each.column.name, each.column.kind, parts, record)
            except BadValueError as error:
                raise refusal(file, record + error.place, each.column.name, error.reason) from None
        table = pa.table([pa.array(range(record, record + count), pa.int64()), *columns], names=names)
        yield _without_blanks(table)
        record += count


def _without_blanks(table: pa.Table) -> pa.Table:
    """The table without records that are empty in every column, which spreadsheets write as separators only."""
    blank = None
    for column in table.columns[1:]:
        if column.null_count == 0:
            return table
        blank = pc.is_null(column) if blank is None else pc.and_(blank, pc.is_null(column))
    return table if blank is None else table.filter(pc.invert(blank))
