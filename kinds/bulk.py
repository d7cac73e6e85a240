"""Moving many rows: within one database by INSERT … SELECT, between two by COPY piped through, unparsed.

What else is to be known of the rows is read in the same snapshot of the source: by the same statement, or on a
connection that sees one state of it.
"""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql
from sqlalchemy.orm import Session

from postgres import scalar, source_names, tune
from source import reading
from source.window import Plan, use_time_zone
from store.database import driver


def insert_from_source(
    session: Session,
    source_url: str,
    plan: Plan,
    query: sql.Composed,
    table: sql.Identifier,
    beside: sql.Composable,
    entry: Callable[[sql.Composable], sql.Composed],
) -> None:
    """Put the query's rows, read from the CRM's database, into one of our tables with the same columns.

    `beside` is a scalar query of the CRM's database, and `entry` makes the statement that stores its value in ours.
    """
    ours = driver(session)
    tune(ours)
    if plan["source_is_ours"]:
        use_time_zone(ours, plan)
        stored = entry(sql.SQL("({})").format(beside))
        with source_names(ours):
            ours.execute(sql.SQL("WITH stored AS ({}) INSERT INTO {} {}").format(stored, table, query))
        return
    with reading.connect(source_url, isolation="REPEATABLE READ") as theirs:
        tune(theirs)
        use_time_zone(theirs, plan)
        ours.execute(entry(sql.Literal(scalar(theirs, beside))))
        copy_out = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(query)
        copy_in = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(table)
        with theirs.cursor().copy(copy_out) as rows, ours.cursor().copy(copy_in) as into:
            for block in rows:
                into.write(block)
