"""Publishing a full run's segments, and removing what ended runs have left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import delete
from sqlalchemy.orm import Session

from kinds.rfm import changes, counts, groups, marks, rows
from kinds.rfm.models import PendingChange
from store import publishing
from store.database import driver
from store.models import Run

_UNPUBLISHED = """
SELECT generation FROM analytics_runs
WHERE status IN ('failed', 'cancelled')
  AND (EXISTS (SELECT FROM segment_changes_pending AS c WHERE c.generation = analytics_runs.generation)
    OR EXISTS (SELECT FROM rfm_counts AS c WHERE c.generation = analytics_runs.generation))
"""


def publish(session: Session, run: Run) -> None:
    """Publish a full run's segments, and record its changes, in the caller's transaction."""
    assert run.plan is not None
    rows.TABLES.settle(session, run)
    marks.publishing_alone(session)
    if run.plan.get("marks") != marks.state(session):  # as they were before the rows were scored
        marks.update(session, run.generation)
    if groups.total(session, run.generation) != (run.counts or {})["customers"]:  # an older version has scored parts
        groups.count(session, run.generation)
    moved = changes.publish_pending(session, run)
    run.counts = (run.counts or {}) | {"moved_customers": moved}
    publishing.name_current(session, run, run.generation, baseline=not run.as_of_given)


def unneeded(session: Session) -> Sequence[Callable[[Session], None]]:
    """Steps that drop the tables, pending changes and counts of ended runs."""
    steps = rows.TABLES.unneeded(session)
    unpublished = [generation for (generation,) in driver(session).execute(_UNPUBLISHED).fetchall()]
    return [*steps, partial(_discard, generations=unpublished)] if unpublished else steps


def _discard(session: Session, generations: Sequence[int]) -> None:
    session.execute(delete(PendingChange).where(PendingChange.generation.in_(generations)))
    counts.discard(session, generations)
    groups.discard(session, generations)
