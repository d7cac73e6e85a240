"""How many customers moved from one segment to another on each business day: counted from `segment_changes`.

Each publish adds the changes that are not counted yet, so a reader of a period reads a few rows instead of all changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import sql
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kinds.rfm.models import SegmentFlow
from store.database import driver
from store.models import Run

# `counted_to` is the newest change in a row; the newest of all rows is where the next publish goes on. Changes before
# the table existed are counted by the first publish.
_ADD = """
INSERT INTO segment_flows (business_date, from_segment, to_segment, customers, counted_to)
SELECT CASE WHEN run_id = {run} THEN {today}::date ELSE (changed_at AT TIME ZONE {zone} - {day_start}::time)::date END,
       coalesce(from_segment, ''), coalesce(to_segment, ''), count(*), max(change_id)
FROM segment_changes WHERE change_id > (SELECT coalesce(max(counted_to), 0) FROM segment_flows)
GROUP BY 1, 2, 3
ON CONFLICT (business_date, from_segment, to_segment) DO UPDATE
SET customers = segment_flows.customers + excluded.customers, counted_to = excluded.counted_to
"""


@dataclass(frozen=True)
class Flow:
    """How many moves from one segment to another there were; None: a new customer, or one who is gone."""

    from_segment: str | None
    to_segment: str | None
    customers: int


def add(session: Session, run: Run) -> None:
    """Count the changes that the publishing run has just recorded, in its transaction."""
    plan: dict[str, Any] = run.plan or {}
    values = {"run": run.run_id, "today": plan["business_date"], "zone": plan["timezone"]}
    values["day_start"] = plan["business_day_start"]
    query = sql.SQL(_ADD).format(**{name: sql.Literal(value) for name, value in values.items()})
    driver(session).execute(query)


def since(session: Session, day: date) -> Sequence[Flow]:
    """The moves after a business day, most customers first; a customer who moved twice is counted twice."""
    ends = (SegmentFlow.from_segment, SegmentFlow.to_segment)
    query = select(*ends, func.sum(SegmentFlow.customers)).where(SegmentFlow.business_date > day).group_by(*ends)
    found = session.execute(query.order_by(func.sum(SegmentFlow.customers).desc(), *ends)).all()
    return [Flow(before or None, after or None, int(customers)) for before, after, customers in found]
