"""Publishing a full run's segments, and removing what ended runs have left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from psycopg import sql
from sqlalchemy import delete
from sqlalchemy.orm import Session

from kinds.rfm import changes, counts
from kinds.rfm.models import PendingChange
from store import progress, publishing
from store.database import driver
from store.models import Run

OLDER_STATEMENTS_WAIT = 2.0

# Staging of ended runs, and generations of runs without a result.
_LEFT_OVER = """
SELECT relname FROM pg_class JOIN analytics_runs
  ON generation = substring(relname FROM '^rfm_(?:staging|results)_g([0-9]+)(?:_s[0-9]+)?$')::bigint
WHERE pg_table_is_visible(pg_class.oid)
  AND (relname LIKE 'rfm_staging%' AND status IN ('succeeded', 'failed', 'cancelled')
    OR relkind = 'p' AND status IN ('failed', 'cancelled'))
"""

_UNPUBLISHED = """
SELECT generation FROM analytics_runs
WHERE status IN ('failed', 'cancelled')
  AND (EXISTS (SELECT FROM segment_changes_pending AS c WHERE c.generation = analytics_runs.generation)
    OR EXISTS (SELECT FROM rfm_counts AS c WHERE c.generation = analytics_runs.generation))
"""


def publish(session: Session, run: Run) -> None:
    """Publish a full run's segments, and record its changes, in the caller's transaction.

    First waits for statements that may have been planned before the run's generation was attached. A statement that
    runs longer than planning can take has its snapshot, and with it the old generation.
    """
    attached = progress.first_done(session, run)
    deadline = time.monotonic() + OLDER_STATEMENTS_WAIT
    while _older_statements(session, attached) and time.monotonic() < deadline:
        time.sleep(0.01)
    moved = changes.publish_pending(session, run)
    run.counts = (run.counts or {}) | {"moved_customers": moved}
    publishing.name_current(session, run, run.generation, baseline=not run.as_of_given)


def _older_statements(session: Session, since: datetime) -> int:
    """The number of statements that began before `since` and may still read `rfm_results`, hidden ones included."""
    row = (
        driver(session)
        .execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE relation = 'rfm_results'::regclass AND granted AND pid <> pg_backend_pid()"
            " AND coalesce(state, 'active') = 'active' AND coalesce(query_start, '-infinity') < %s",
            [since],
        )
        .fetchone()
    )
    assert row is not None
    return int(row[0])


def unneeded(session: Session) -> Sequence[Callable[[Session], None]]:
    """Steps that drop the tables, pending changes and counts of ended runs."""
    connection = driver(session)
    steps: list[Callable[[Session], None]] = [
        partial(drop, table=name) for (name,) in connection.execute(_LEFT_OVER).fetchall()
    ]
    unpublished = [generation for (generation,) in connection.execute(_UNPUBLISHED).fetchall()]
    return [*steps, partial(_discard, generations=unpublished)] if unpublished else steps


def drop(session: Session, table: str) -> None:
    """Drop a table if it exists."""
    driver(session).execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(table)))


def _discard(session: Session, generations: Sequence[int]) -> None:
    session.execute(delete(PendingChange).where(PendingChange.generation.in_(generations)))
    counts.discard(session, generations)
