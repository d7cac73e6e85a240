"""What readers see: one row per kind names the current generation, and publishing is one UPDATE of it.

The result relations are views that filter by that row, so grants, dependent views and prepared statements
live on, and every snapshot sees one whole generation. A generation is there well before it is named, and is
dropped only when no snapshot anywhere can still name it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import psycopg
from psycopg import sql
from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from store import changes, menu, rfm, runs
from store.database import driver, transaction
from store.models import PendingChange, Published, Run

LOCK_WAIT = "100ms"
OLDER_STATEMENTS_WAIT = 2.0


def publish_rfm(session: Session, run: Run) -> None:
    """Make a full run's segments current, and tell who moved, in the caller's transaction.

    First lets every statement end that may have been planned before the run's generation was attached; one
    that runs longer than planning can take has its snapshot, and with it the old generation, already.
    """
    attached = runs.first_done(session, run)
    deadline = time.monotonic() + OLDER_STATEMENTS_WAIT
    while rfm.older_statements(session, attached) and time.monotonic() < deadline:
        time.sleep(0.01)
    moved = changes.tell(session, run)
    run.counts = (run.counts or {}) | {"moved_customers": moved}
    name_current(session, run, run.generation)


def name_current(session: Session, run: Run, generation: int) -> None:
    """Name the generation that the run has made, or written into, and retire what is named no more."""
    before = session.get(Published, run.kind)
    told = run.kind == "rfm" and not run.as_of_given
    named = {
        "kind": run.kind,
        "generation": generation,
        "run_id": run.run_id,
        "as_of": run.as_of,
        "published_at": runs.now(session),
        "baseline": generation if told else before and before.baseline,
        "baseline_run_id": run.run_id if told else before and before.baseline_run_id,
        "changes_dropped_to": before.changes_dropped_to if before else 0,
    }
    gone = {before.generation, before.baseline} - {None, generation, named["baseline"]} if before else set()
    for retired in gone:
        session.execute(
            text(
                "INSERT INTO analytics_retired (generation, kind, retired_by)"
                " VALUES (:generation, :kind, pg_current_xact_id()::text::bigint)"
            ),
            {"generation": retired, "kind": run.kind},
        )
    session.merge(Published(**named))
    session.flush()


# A snapshot whose xmin is not newer than the retiring transaction may not see it, and so may still name the
# old generation. age() counts transactions back from now, so it compares across the wrap of 32-bit ids.
_CAN_GO = """
SELECT generation, kind FROM analytics_retired
WHERE age((retired_by % 4294967296)::text::xid) > coalesce((
  SELECT max(age(oldest)) FROM (
    SELECT backend_xmin FROM pg_stat_activity WHERE pid <> pg_backend_pid()
    UNION ALL SELECT backend_xmin FROM pg_stat_replication
    UNION ALL SELECT transaction FROM pg_prepared_xacts
    UNION ALL SELECT xmin FROM pg_replication_slots
  ) AS holders (oldest)), 0)
ORDER BY generation
"""


# Staging of runs that have ended, and generations of runs that came to nothing.
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
  AND (EXISTS (SELECT FROM menu_tallies AS t WHERE t.generation = analytics_runs.generation)
    OR EXISTS (SELECT FROM segment_changes_pending AS c WHERE c.generation = analytics_runs.generation))
"""


def clear(url: str) -> None:
    """Remove what no run and no reader needs any more: staging, unpublished results, retired generations.

    Dropping a generation needs a moment's lock on its parent. It waits for it no longer than a reader would
    notice, and otherwise leaves the generation to the next call.
    """
    with transaction(url) as session:
        connection = driver(session)
        left_over = [name for (name,) in connection.execute(_LEFT_OVER).fetchall()]
        unpublished = [generation for (generation,) in connection.execute(_UNPUBLISHED).fetchall()]
        retired = connection.execute(_CAN_GO).fetchall()
    for name in left_over:
        _briefly_locked(url, partial(_drop, name=name))
    if unpublished:
        _briefly_locked(url, partial(_discard, generations=unpublished))
    for generation, kind in retired:
        _briefly_locked(url, partial(_drop_retired, generation=generation, kind=kind))


def _briefly_locked(url: str, step: Callable[[Session], None]) -> None:
    with suppress(psycopg.errors.LockNotAvailable), transaction(url) as session:
        driver(session).execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_WAIT)))
        step(session)


def _discard(session: Session, generations: list[int]) -> None:
    menu.discard(session, generations)
    session.execute(delete(PendingChange).where(PendingChange.generation.in_(generations)))


def _drop(session: Session, name: str) -> None:
    driver(session).execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))


def _drop_retired(session: Session, generation: int, kind: str) -> None:
    if not driver(session).execute("DELETE FROM analytics_retired WHERE generation = %s", [generation]).rowcount:
        return  # another clears too, and was first
    if kind == "rfm":
        _drop(session, f"rfm_results_g{generation}")
    else:
        menu.discard(session, [generation])
