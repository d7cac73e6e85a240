"""Retention of runs, their parts and plans, deliveries and events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from store import events, totals

KEPT = timedelta(days=35)  # the same webhook-id returns the same runs for at least 30 days
PLANS_KEPT = timedelta(days=1)


_NAMED = """
SELECT run_id FROM analytics_published
UNION SELECT baseline_run_id FROM analytics_published WHERE baseline_run_id IS NOT NULL
"""
_OLD_RUNS = f"""
DELETE FROM analytics_runs AS r
WHERE finished_at < now() - CAST(:kept AS interval)
  AND generation < (SELECT generation FROM analytics_runs WHERE run_id =
    (SELECT run_id FROM analytics_published AS p WHERE p.kind = r.kind))
  AND run_id NOT IN ({_NAMED})
"""  # noqa: S608  # put together from what stands above
_OLD_PARTS = """
DELETE FROM analytics_parts USING analytics_runs AS r
WHERE r.run_id = analytics_parts.run_id AND r.finished_at < now() - CAST(:kept AS interval)
"""
_OLD_PLANS = f"""
UPDATE analytics_runs SET plan = NULL
WHERE plan IS NOT NULL AND finished_at < now() - CAST(:kept AS interval) AND run_id NOT IN ({_NAMED})
"""  # noqa: S608  # put together from what stands above


def drop_old(session: Session, writers: Sequence[str]) -> None:
    """Delete old deliveries, events and runs, and the parts and plans of finished runs.

    Kept are runs that published rows still name: each of `writers` is a query for the generations of such runs. Kept
    are also runs that ended without a result after the published one: the next incremental run reads the transaction
    ids of their requests.
    """
    events.drop_old(session, KEPT)
    totals.drop_deliveries(session, KEPT)
    named = "".join(f"  AND generation NOT IN ({query})\n" for query in writers)
    session.execute(text(_OLD_RUNS + named), {"kept": KEPT})
    for statement in (_OLD_PARTS, _OLD_PLANS):
        session.execute(text(statement), {"kept": PLANS_KEPT})
