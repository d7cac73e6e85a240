"""The numbers of customers per frequency and per last day, from which the cut points of both follow exactly.

A full run's parts count their shards. An incremental run adds what its changed customers make different, so that it
reads no others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from psycopg import sql
from sqlalchemy.orm import Session

from analytics.scores import FREQUENCY, RECENCY, Point, quintiles
from store.database import driver

Counts = dict[str, Counter[int]]  # by measure: customers per value of its column
COUNTED = (RECENCY, FREQUENCY)

_COUNT = """
SELECT last_day, frequency, sum(customers)::bigint FROM ({}) AS rows
GROUP BY GROUPING SETS ((last_day), (frequency)) HAVING sum(customers) <> 0
"""
_LOAD = """
SELECT measure, value, sum(number)::bigint
FROM rfm_counts LEFT JOIN LATERAL unnest(measured, customers) AS t (value, number) ON true
WHERE generation = %s GROUP BY measure, value
"""


def count(session: Session, rows: sql.Composable) -> Counts:
    """The counts of a query's rows with `last_day`, `frequency` and `customers`, how often each row counts."""
    found: Counts = {measure: Counter() for measure in COUNTED}
    for last_day, frequency, customers in driver(session).execute(sql.SQL(_COUNT).format(rows)).fetchall():
        if frequency is None:
            found[RECENCY][last_day] = customers
        else:
            found[FREQUENCY][frequency] = customers
    return found


def once(customers: sql.Composable) -> sql.Composed:
    """A query's customers as rows that count once."""
    return sql.SQL("SELECT last_day, frequency, 1 AS customers FROM ({}) AS each").format(customers)


def save(session: Session, generation: int, shard: int, counts: Counts) -> None:
    """Store a shard's counts."""
    driver(session).execute("DELETE FROM rfm_counts WHERE generation = %s AND shard = %s", [generation, shard])
    _insert(session, generation, shard, counts)


def _insert(session: Session, generation: int, shard: int, counts: Counts) -> None:
    driver(session).cursor().executemany(
        "INSERT INTO rfm_counts (generation, shard, measure, measured, customers) VALUES (%s, %s, %s, %s, %s)",
        [(generation, shard, measure, list(counts[measure]), list(counts[measure].values())) for measure in COUNTED],
    )


def shards(session: Session, generation: int) -> set[int]:
    """The shards that have been counted."""
    query = "SELECT DISTINCT shard FROM rfm_counts WHERE generation = %s"
    return {shard for (shard,) in driver(session).execute(query, [generation])}


def load(session: Session, generation: int) -> Counts | None:
    """The counts of a generation's customers; None if an older version has computed it."""
    found: Counts = {}
    for measure, value, customers in driver(session).execute(_LOAD, [generation]).fetchall():
        counted = found.setdefault(measure, Counter())
        if value is not None:
            counted[value] = customers
    return found or None


def replace(session: Session, generation: int, counts: Counts) -> None:
    """Store a generation's counts in place of its shards'."""
    discard(session, [generation])
    _insert(session, generation, 0, counts)


def discard(session: Session, generations: Sequence[int]) -> None:
    """Delete the counts of these generations."""
    driver(session).execute("DELETE FROM rfm_counts WHERE generation = ANY(%s)", [list(generations)])


def added(counts: Counts, changes: Counts) -> Counts:
    """The counts with the changes, which may be negative; values without customers are left out."""
    found: Counts = {}
    for measure in COUNTED:
        total = Counter(counts[measure])
        total.update(changes[measure])
        found[measure] = Counter({value: customers for value, customers in total.items() if customers})
    return found


def cut_points(counts: Counts, measures: Collection[str], today: int) -> dict[str, list[Point]]:
    """The quintiles, on a business date, of those of the measures that are counted; none without customers."""
    found = {}
    for measure in COUNTED:
        if measure in measures and counts[measure]:
            groups = counts[measure].items()
            found[measure] = quintiles([(today - value if measure == RECENCY else value, n) for value, n in groups])
    return found
