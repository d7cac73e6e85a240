"""The exact cut points over all customers, from order statistics that PostgreSQL selects."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

from psycopg import sql
from sqlalchemy.orm import Session

from analytics.scores import AVERAGE, Point, cut_points, quantile_ranks, sort_expression, values_at
from postgres import tune
from settings import Settings
from store.database import driver, transaction


def exact_cut_points(
    session: Session, customers: sql.Composable, expected: int, measures: Sequence[str]
) -> tuple[int, dict[str, list[Point]]]:
    """The number of customers of a query, and the cut points (in fifths) of measures; none without customers.

    `expected` saves a count: if there are as many, as is usual, the first query is enough.
    """
    while expected:
        count, found = order_statistics(session, customers, expected, quantile_ranks(expected), measures)
        if count == expected:
            return count, {measure: cut_points(count, found[measure]) for measure in measures}
        expected = count
    return 0, {}


def staged_cut_points(
    session: Session, settings: Settings, customers: sql.Composable, count: int, measures: Sequence[str]
) -> dict[str, list[Point]]:
    """The cut points over the shards' customers; the last measure is sorted in a second session, on another core."""
    if len(measures) < 2:
        return exact_cut_points(session, customers, count, measures)[1] if measures else {}

    def beside() -> dict[str, list[Point]]:
        with transaction(settings.database_url) as other:
            return exact_cut_points(other, customers, count, measures[-1:])[1]

    with ThreadPoolExecutor(1) as thread:
        largest = thread.submit(beside)
        _, points = exact_cut_points(session, customers, count, measures[:-1])
        return points | largest.result()


def order_statistics(
    session: Session, customers: sql.Composable, count: int, ranks: Sequence[int], measures: Sequence[str]
) -> tuple[int, dict[str, list[int | Fraction]]]:
    """The number of customers of a query, and each measure's values at these ranks (0-based) if it equals `count`.

    `percentile_disc` at (rank + 1/2)/count returns exactly the value at that rank.
    """
    fractions = sql.Literal([(rank + 0.5) / count for rank in ranks])
    pick = "percentile_disc({}::float8[]) WITHIN GROUP (ORDER BY {})"
    picks = [sql.SQL(pick).format(fractions, sql.SQL(sort_expression(measure))) for measure in measures]
    tune(driver(session))
    columns = sql.SQL(", ").join([sql.SQL("count(*)"), *picks])
    query = sql.SQL("SELECT {} FROM ({}) AS customers").format(columns, customers)
    row = driver(session).execute(query).fetchone()
    assert row is not None
    found = dict(zip(measures, row[1:], strict=True))
    if AVERAGE in measures and row[0] == count:
        found[AVERAGE] = _averages(session, customers, ranks, found[AVERAGE])
    return row[0], found


def _averages(
    session: Session, customers: sql.Composable, ranks: Sequence[int], floats: Sequence[float]
) -> list[Fraction]:
    """The exact averages at these ranks, where floats have found them: of those that are one float, the right one."""
    keyed = sql.SQL("SELECT cents, frequency, {} AS key FROM ({}) AS customers").format(
        sql.SQL(sort_expression(AVERAGE)), customers
    )
    keys = sorted(set(floats))
    below = [sql.SQL("count(*) FILTER (WHERE key < {})").format(sql.Literal(key)) for key in keys]
    connection = driver(session)
    counts = connection.execute(
        sql.SQL("SELECT {} FROM ({}) AS keyed").format(sql.SQL(", ").join(below), keyed)
    ).fetchone()
    assert counts is not None
    alike: dict[float, list[tuple[Fraction, int]]] = {key: [] for key in keys}
    query = sql.SQL("SELECT key, cents, frequency, count(*) FROM ({}) AS keyed WHERE key = ANY({}) GROUP BY 1, 2, 3")
    for key, cents, frequency, count in connection.execute(query.format(keyed, sql.Literal(keys))).fetchall():
        alike[key].append((Fraction(cents, frequency), count))
    before = dict(zip(keys, counts, strict=True))
    return [values_at([rank - before[key]], alike[key])[0] for rank, key in zip(ranks, floats, strict=True)]
