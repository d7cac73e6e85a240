"""How many customers each group has: those with the same segment, cluster and overdue or not (see marks.py).

Counted when a full run is published, and then changed with the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql
from sqlalchemy.orm import Session

from store.database import driver

_NOTHING = sql.SQL("")
_ADD = """
INSERT INTO rfm_groups AS g (generation, segment_number, overdue, cluster_id, customers)
SELECT {generation}, segment_number, overdue, cluster_id, sum(customers) FROM ({changes}) AS changes
GROUP BY segment_number, overdue, cluster_id HAVING sum(customers) <> 0
ON CONFLICT (generation, segment_number, overdue, cluster_id)
DO UPDATE SET customers = g.customers + excluded.customers
"""
_ROWS = "SELECT segment_number, overdue, cluster_id, 1 AS customers FROM rfm_results WHERE generation = {}"


def add(session: Session, generation: int, changes: sql.Composable, before: sql.Composable = _NOTHING) -> None:
    """Add changes, a query's rows with the columns of a group and `customers`; it may use a WITH clause `before` it."""
    names = {"generation": sql.Literal(generation), "changes": changes}
    driver(session).execute(before + sql.SQL(_ADD).format(**names))


def count(session: Session, generation: int) -> None:
    """Count a generation's rows."""
    discard(session, [generation])
    add(session, generation, sql.SQL(_ROWS).format(sql.Literal(generation)))


def discard(session: Session, generations: Sequence[int]) -> None:
    """Delete the counts of these generations."""
    driver(session).execute("DELETE FROM rfm_groups WHERE generation = ANY(%s)", [list(generations)])
