"""What is kept and how long, and forgetting one customer."""

from __future__ import annotations

from datetime import timedelta

from psycopg import sql
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from errors import RequestError
from store import changes, events, totals
from store.database import driver
from store.models import Part, Run

KEPT = timedelta(days=35)  # a webhook-id means the same runs for at least 30 days
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
  AND run_id NOT IN ({_NAMED} UNION SELECT run_id FROM menu_results)
  AND generation NOT IN (SELECT written_by FROM rfm_results)
"""  # noqa: S608  # put together from what stands above
_OLD_PARTS = """
DELETE FROM analytics_parts USING analytics_runs AS r
WHERE r.run_id = analytics_parts.run_id AND r.finished_at < now() - CAST(:kept AS interval)
"""
_OLD_PLANS = f"""
UPDATE analytics_runs SET plan = NULL
WHERE plan IS NOT NULL AND finished_at < now() - CAST(:kept AS interval) AND run_id NOT IN ({_NAMED})
"""  # noqa: S608  # put together from what stands above


def drop_old(session: Session) -> None:
    """Forget old deliveries, events, changes and runs, and what finished runs no longer need.

    Runs that published rows still name stay, and so do those that ended without a result since the last
    published one: an incremental run still has to look at the ids that were named to them.
    """
    changes.drop_old(session)
    events.drop_old(session, KEPT)
    totals.drop_deliveries(session, KEPT)
    session.execute(text(_OLD_RUNS), {"kept": KEPT})
    for statement in (_OLD_PARTS, _OLD_PLANS):
        session.execute(text(statement), {"kept": PLANS_KEPT})


def forget(session: Session, mobile_id: str) -> int:
    """Remove a customer from all that we store; returns how many rows that were.

    Orders are the CRM's: as long as it has some of this customer, the next run finds them again.

    Raises
    ------
    RequestError
        While a run works on segments: it has read the customer's orders already.
    """
    if session.scalars(select(Run.run_id).where(Run.kind == "rfm", Run.status == "running")).first() is not None:
        raise RequestError("Segments are being computed right now; ask again once that run has ended.")
    removed = driver(session).execute("DELETE FROM rfm_results WHERE mobile_id = %s", [mobile_id]).rowcount
    for table in ("segment_changes", "segment_changes_pending"):
        query = sql.SQL("DELETE FROM {} WHERE mobile_id = %s").format(sql.Identifier(table))
        removed += driver(session).execute(query, [mobile_id]).rowcount
    bounds = update(Part).where(Part.stage.in_(("aggregate", "score")))
    for column in (Part.lower, Part.upper):
        session.execute(bounds.where(column == mobile_id).values({column: None}))
    if removed:
        totals.add(session, "forgotten")
    return removed
