"""The exact cut points over all customers, from order statistics that PostgreSQL selects."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from psycopg import sql
from sqlalchemy.orm import Session

from analytics.scores import MEASURES, cut_points, quantile_ranks
from postgres import tune
from settings import Settings
from store.database import driver, transaction


def exact_cut_points(
    session: Session, customers: sql.Composable, expected: int, measures: Sequence[str] = MEASURES
) -> tuple[int, dict[str, list[int]]]:
    """How many customers a query has, and the cut points (in fifths) over them; none where there is nobody.

    `expected` saves a count: where there are as many, as is usual, the first reading is the last.
    """
    while expected:
        count, found = order_statistics(session, customers, expected, quantile_ranks(expected), measures)
        if count == expected:
            return count, {measure: cut_points(count, found[measure]) for measure in measures}
        expected = count
    return 0, {}


def staged_cut_points(
    session: Session, settings: Settings, customers: sql.Composable, count: int
) -> dict[str, list[int]]:
    """The cut points over the shards' customers; the largest measure is sorted beside the others, on another core."""

    def beside() -> dict[str, list[int]]:
        with transaction(settings.database_url) as other:
            return exact_cut_points(other, customers, count, MEASURES[2:])[1]

    with ThreadPoolExecutor(1) as thread:
        largest = thread.submit(beside)
        _, points = exact_cut_points(session, customers, count, MEASURES[:2])
        return points | largest.result()


def order_statistics(
    session: Session, customers: sql.Composable, count: int, ranks: Sequence[int], measures: Sequence[str]
) -> tuple[int, dict[str, list[int]]]:
    """How many customers a query has, and the values at these ranks (0-based) of each measure if they are `count`.

    `percentile_disc` at (rank + 1/2)/count picks exactly the value of that rank.
    """
    fractions = sql.Literal([(rank + 0.5) / count for rank in ranks])
    picks = sql.SQL(", ").join(
        sql.SQL("percentile_disc({}::float8[]) WITHIN GROUP (ORDER BY {})").format(fractions, sql.Identifier(measure))
        for measure in measures
    )
    tune(driver(session))
    query = sql.SQL("SELECT count(*), {} FROM ({}) AS customers").format(picks, customers)
    row = driver(session).execute(query).fetchone()
    assert row is not None
    return row[0], dict(zip(measures, row[1:], strict=True))
