"""Moving many rows: within one database by INSERT … SELECT, between two by COPY piped through, unparsed."""

from __future__ import annotations

from psycopg import sql
from sqlalchemy.orm import Session

from postgres import tune
from source import reading
from source.window import Plan, use_time_zone
from store.database import driver


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
    with reading.connect(source_url) as theirs:
        tune(theirs)
        use_time_zone(theirs, plan)
        copy_out = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(query)
        copy_in = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(table)
        with theirs.cursor().copy(copy_out) as rows, ours.cursor().copy(copy_in) as into:
            for block in rows:
                into.write(block)
