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
_COUNT_SHARD = """
INSERT INTO rfm_counts (generation, shard, measure, measured, customers)
SELECT {generation}, {shard}, measure, coalesce(array_agg(value) FILTER (WHERE value IS NOT NULL), '{{}}'),
       coalesce(array_agg(customers) FILTER (WHERE value IS NOT NULL), '{{}}')
FROM (VALUES ({recency}, true), ({frequency}, false)) AS m (measure, is_day) LEFT JOIN (
  SELECT frequency IS NULL AS is_day, coalesce(frequency, last_day) AS value, count(*)::int AS customers
  FROM ({of_shard}) AS each GROUP BY GROUPING SETS ((last_day), (frequency))
) AS counted USING (is_day)
GROUP BY measure
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


def count_shard(session: Session, generation: int, shard: int, customers: sql.Composable) -> None:
    """Count a query's customers, and store the counts of this shard; they do not leave PostgreSQL."""
    driver(session).execute("DELETE FROM rfm_counts WHERE generation = %s AND shard = %s", [generation, shard])
    literals = {"generation": generation, "shard": shard, "recency": RECENCY, "frequency": FREQUENCY}
    names = {name: sql.Literal(value) for name, value in literals.items()}
    driver(session).execute(sql.SQL(_COUNT_SHARD).format(of_shard=customers, **names))


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
    driver(session).cursor().executemany(
        "INSERT INTO rfm_counts (generation, shard, measure, measured, customers) VALUES (%s, 0, %s, %s, %s)",
        [(generation, measure, list(counts[measure]), list(counts[measure].values())) for measure in COUNTED],
    )


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
