"""Comparing another implementation's results with our published results, row by row."""

from __future__ import annotations

import psycopg
from psycopg import sql

from bench.rivals import Rival

PUBLISHED = {"rfm": "rfm_segments", "menu": "menu_recommendation"}


class WrongResultError(Exception):
    """The rows of another implementation differ from ours, so its times can't be compared."""


def check(url: str, rival: Rival) -> int:
    """Compare the columns with the same definition; returns the number of rows.

    Raises
    ------
    WrongResultError
        With the number of rows that differ and one of them, when any row is missing on either side.
    """
    columns = sql.SQL(", ").join(
        # Two divisions of the same integers may differ in the last bit.
        sql.SQL("round(share::numeric, 12)") if column == "share" else sql.Identifier(column)
        for column in rival.agrees
    )
    ours, theirs = (
        sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(table))
        for table in (PUBLISHED[rival.kind], rival.table)
    )
    differing = sql.SQL("(({}) EXCEPT ALL ({})) UNION ALL (({}) EXCEPT ALL ({}))").format(ours, theirs, theirs, ours)
    with psycopg.connect(url) as connection:
        connection.execute("SET LOCAL work_mem = '512MB'")
        rows = connection.execute(sql.SQL("SELECT count(*) FROM ({}) AS ours").format(ours)).fetchone()
        found = connection.execute(differing).fetchmany(4)
    if found or rows is None or not rows[0]:
        raise WrongResultError(f"{rival.title} differs from ours ({rows and rows[0]:,} rows), for example {found}")
    return int(rows[0])


def forget(url: str, rival: Rival) -> None:
    """Drop the results of another implementation."""
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(rival.table)))
