"""Moving many rows: within one database by INSERT … SELECT, between two by COPY piped through, unparsed."""

from __future__ import annotations

from psycopg import sql
from sqlalchemy.orm import Session

from store import source
from store.database import driver
from store.window import Plan, use_time_zone


def tune(connection: source.Connection) -> None:
    """Session settings for one bulk statement; they end with the transaction.

    Parallelism is ours (one task per part), compiling costs more than it gives, and a part's groups fit.
    """
    connection.execute(
        "SET LOCAL work_mem = '256MB'; SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0"
    )


def insert_from_source(
    session: Session, source_url: str, plan: Plan, query: sql.Composed, table: sql.Identifier
) -> None:
    """Put the query's rows, read from the CRM's database, into one of our tables with the same columns."""
    ours = driver(session)
    tune(ours)
    if plan["source_is_ours"]:
        use_time_zone(ours, plan)
        ours.execute(sql.SQL("INSERT INTO {} {}").format(table, query))
        return
    with source.connect(source_url) as theirs:
        tune(theirs)
        use_time_zone(theirs, plan)
        copy_out = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(query)
        copy_in = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(table)
        with theirs.cursor().copy(copy_out) as rows, ours.cursor().copy(copy_in) as into:
            for block in rows:
                into.write(block)
