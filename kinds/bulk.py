"""Moving many rows: within one database by INSERT … SELECT, between two by piping COPY; and columns of numbers from our
database to arrays, and back.

What the ledger keeps of the rows is read in the same snapshot of the source: by the same statement, or on a REPEATABLE
READ connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy.orm import Session

from postgres import source_names, tune
from source import reading
from source.window import Plan, use_time_zone
from store import ledger
from store.database import driver


def insert_from_source(
    session: Session,
    source_url: str,
    plan: Plan,
    query: sql.Composed,
    table: sql.Identifier,
    beside: sql.Composed,
    entry: Callable[[sql.Composed], sql.Composed],
) -> None:
    """Insert the rows of a query on the CRM's database into one of our tables with the same columns.

    `beside` is a query on the CRM's database for the ledger's values, and `entry` returns the statement that stores
    them in ours.
    """
    ours = driver(session)
    tune(ours)
    if plan["source_is_ours"]:
        use_time_zone(ours, plan)
        stored = entry(beside)
        with source_names(ours):
            ours.execute(sql.SQL("WITH stored AS ({}) INSERT INTO {} {}").format(stored, table, query))
        return
    with reading.connect(source_url, isolation="REPEATABLE READ") as theirs:
        tune(theirs)
        use_time_zone(theirs, plan)
        ours.execute(entry(ledger.values(theirs.execute(beside).fetchone())))
        copy_out = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(query)
        copy_in = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(table)
        with theirs.cursor().copy(copy_out) as rows, ours.cursor().copy(copy_in) as into:
            for block in rows:
                into.write(block)


def whole_columns(session: Session, query: sql.Composable, names: Sequence[str]) -> list[NDArray[np.int64]]:
    """Integer columns of a query without NULLs, as arrays; PostgreSQL returns each as one bytea value."""
    packed = sql.SQL(", ").join(
        sql.SQL("string_agg(int8send({}::bigint), '')").format(sql.Identifier(name)) for name in names
    )
    row = driver(session).execute(sql.SQL("SELECT {} FROM ({}) AS rows").format(packed, query), binary=True).fetchone()
    assert row is not None
    return [np.frombuffer(value or b"", dtype=">i8").astype(np.int64) for value in row]


def copy_columns(session: Session, table: sql.Identifier, columns: Mapping[str, NDArray[Any]]) -> None:
    """Copy arrays without missing values into a table: int32 as `int`, int64 as `bigint`, float64 as `float8`.

    COPY's binary format is each value's length and its bytes in network order.
    """
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, column in columns.items():
        fields += [(f"{name} length", ">i4"), (name, column.dtype.newbyteorder(">").str)]
    rows = np.zeros(len(next(iter(columns.values()))), dtype=fields)
    rows["fields"] = len(columns)
    for name, column in columns.items():
        rows[f"{name} length"], rows[name] = column.dtype.itemsize, column
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table, names)
    with driver(session).cursor().copy(query) as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        copy.write(rows.tobytes())
        copy.write(b"\xff\xff")
