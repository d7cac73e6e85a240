"""The exact cut points over all customers, from order statistics that PostgreSQL selects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from psycopg import sql
from sqlalchemy.orm import Session

from analytics.scores import (
    AVERAGE,
    CENTS,
    Point,
    cut_points,
    quantile_ranks,
    surrounding_ranks,
    value_expression,
    values_at,
)
from postgres import tune
from store.database import driver

Ranges = list[list[int]]  # for each cut point, the least and the largest value of its range
# Customers on either side of a cut point of cents within its range, and at least which share of all.
NEAR, NEAR_SHARE = 2_000, 400


def exact_cut_points(
    session: Session, customers: sql.Composable, expected: int, measures: Sequence[str], today: int
) -> tuple[int, dict[str, list[Point]]]:
    """The number of customers of a query, and the cut points (in fifths) of measures; none without customers.

    `expected` saves a count: if there are as many, as is usual, the first query is enough.
    """
    count, found = _ranked(session, customers, expected, quantile_ranks, measures, today)
    return count, {measure: cut_points(count, found[measure]) for measure in measures if count}


def cents_cut_points(
    session: Session, customers: sql.Composable, expected: int
) -> tuple[dict[str, list[Point]], Ranges]:
    """The cut points of cents over a query's customers, and for each the range of cents around it.

    Both are empty without customers. After small changes of the customers the cut points are within their ranges.
    """
    count, found = _ranked(
        session,
        customers,
        expected,
        lambda count: [*quantile_ranks(count), *surrounding_ranks(count, max(NEAR, count // NEAR_SHARE))],
        [CENTS],
        0,
    )
    if not count:
        return {}, []
    ranked = [int(value) for value in found[CENTS]]
    return {CENTS: cut_points(count, ranked[:8])}, [ranked[8 + 2 * k : 10 + 2 * k] for k in range(4)]


def moved_cut_points(
    session: Session,
    customers: Sequence[sql.Composable],
    count: int,
    below: Sequence[int],
    edges: Sequence[int],
    ranges: Ranges,
) -> list[Point] | None:
    """The cut points of cents over customers, found from those of before; None if one has left its range.

    Only the customers between an old and a new cut point are read, from the index of the ranges.

    Parameters
    ----------
    customers
        Queries that together return the customers.
    count
        The number of customers, at least 1.
    below
        The number of customers on the lower side of each old cut point.
    edges
        The least value on the upper side of each old cut point.
    """
    ranks = quantile_ranks(count)
    picks, wanted = [], []
    pairs = zip(ranks[::2], ranks[1::2], strict=True)
    for pair, (least, largest), edge, number in zip(pairs, ranges, edges, below, strict=True):
        for places, side in (
            ([number - 1 - rank for rank in pair if rank < number], (least, edge - 1, "DESC")),
            ([rank - number for rank in pair if rank >= number], (edge, largest, "ASC")),
        ):
            if places:
                picks.append(values_beside(customers, *side, min(places), max(places)))
                wanted.append([place - min(places) for place in places])
    found = driver(session).execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join(picks))).fetchone()
    assert found is not None
    if any(len(values) <= max(places) for values, places in zip(found, wanted, strict=True)):
        return None
    return cut_points(count, [values[place] for values, places in zip(found, wanted, strict=True) for place in places])


def values_beside(
    customers: Sequence[sql.Composable], least: int, largest: int, order: str, first: int, last: int
) -> sql.Composed:
    """The cents between two values at these places (0-based) of an order, as an array.

    Each query is limited by itself, so that PostgreSQL reads no more than the first places from its index.
    """
    limited = "(SELECT cents FROM ({}) AS c WHERE cents BETWEEN {} AND {} ORDER BY cents {} LIMIT {})"
    values = (sql.Literal(least), sql.Literal(largest), sql.SQL(order), sql.Literal(last + 1))
    parts = sql.SQL(" UNION ALL ").join(sql.SQL(limited).format(query, *values) for query in customers)
    query = "ARRAY(SELECT cents FROM ({}) AS c ORDER BY cents {} OFFSET {} LIMIT {})"
    return sql.SQL(query).format(parts, sql.SQL(order), sql.Literal(first), sql.Literal(last - first + 1))


def _ranked(
    session: Session,
    customers: sql.Composable,
    expected: int,
    ranks: Callable[[int], list[int]],
    measures: Sequence[str],
    today: int,
) -> tuple[int, dict[str, list[int | Fraction]]]:
    while expected:
        count, found = order_statistics(session, customers, expected, ranks(expected), measures, today)
        if count == expected:
            return count, found
        expected = count
    return 0, {}


def order_statistics(
    session: Session, customers: sql.Composable, count: int, ranks: Sequence[int], measures: Sequence[str], today: int
) -> tuple[int, dict[str, list[int | Fraction]]]:
    """The number of customers of a query, and each measure's values at these ranks (0-based) if it equals `count`.

    `percentile_disc` at (rank + 1/2)/count returns exactly the value at that rank.
    """
    fractions = sql.Literal([(rank + 0.5) / count for rank in ranks])
    pick = "percentile_disc({}::float8[]) WITHIN GROUP (ORDER BY {})"
    picks = [sql.SQL(pick).format(fractions, sql.SQL(value_expression(measure, today))) for measure in measures]
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
        sql.SQL(value_expression(AVERAGE, 0)), customers
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
