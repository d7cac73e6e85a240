"""How many customers each group has: those with the same segment, cluster and overdue or not (see marks.py).

A full run's parts count their rows, and then the numbers change with the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql
from sqlalchemy.orm import Session

from postgres import scalar
from store.database import driver

Group = tuple[int, bool, int]  # a segment's number, whether overdue, and a cluster, 0 for none

_NOTHING = sql.SQL("")
# In order, so that two parts never wait for each other's rows.
_ADD = """
INSERT INTO rfm_groups AS g (generation, segment_number, overdue, cluster_id, customers)
SELECT {generation}, segment_number, overdue, cluster_id, sum(customers) FROM ({changes}) AS changes
GROUP BY segment_number, overdue, cluster_id HAVING sum(customers) <> 0
ORDER BY segment_number, overdue, cluster_id
ON CONFLICT (generation, segment_number, overdue, cluster_id)
DO UPDATE SET customers = g.customers + excluded.customers
"""
_ROWS = "SELECT segment_number, overdue, cluster_id, 1 AS customers FROM rfm_results WHERE generation = {}"


def add(session: Session, generation: int, changes: sql.Composable, before: sql.Composable = _NOTHING) -> None:
    """Add changes, a query's rows with the columns of a group and `customers`; it may use a WITH clause `before` it."""
    names = {"generation": sql.Literal(generation), "changes": changes}
    driver(session).execute(before + sql.SQL(_ADD).format(**names))


def add_counted(session: Session, generation: int, customers: Mapping[Group, int]) -> None:
    """Add customers per group."""
    columns = [list(column) for column in zip(*customers, strict=True)] or [[], [], []]
    rows = "SELECT * FROM unnest({}::int2[], {}::bool[], {}::int[], {}::bigint[]) AS t ({})"
    names = sql.SQL("segment_number, overdue, cluster_id, customers")
    arrays = map(sql.Literal, [*columns, list(customers.values())])
    add(session, generation, sql.SQL(rows).format(*arrays, names))


def total(session: Session, generation: int) -> int:
    """The customers of all groups."""
    query = sql.SQL("SELECT coalesce(sum(customers), 0)::bigint FROM rfm_groups WHERE generation = {}")
    return int(scalar(driver(session), query.format(sql.Literal(generation))))


def count(session: Session, generation: int) -> None:
    """Count a generation's rows."""
    discard(session, [generation])
    add(session, generation, sql.SQL(_ROWS).format(sql.Literal(generation)))


def discard(session: Session, generations: Sequence[int]) -> None:
    """Delete the counts of these generations."""
    driver(session).execute("DELETE FROM rfm_groups WHERE generation = ANY(%s)", [list(generations)])
