"""Publishing: one row per kind names the current generation, and publishing a run is one UPDATE of this row.

The result relations are views that filter by this row. So grants, dependent views and prepared statements stay valid,
and every snapshot sees one whole generation. A generation is complete before it is named, and is dropped only when no
snapshot can still read it.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from store import ledger, runs
from store.database import driver
from store.models import Published, Run


def name_current(session: Session, run: Run, generation: int, *, baseline: bool = False) -> None:
    """Publish the generation that the run has created or updated, and retire those that are no longer named.

    `baseline`: the kind records changes between published states, and its next changes start from this generation.
    """
    before = session.get(Published, run.kind)
    named = {
        "kind": run.kind,
        "generation": generation,
        "run_id": run.run_id,
        "as_of": run.as_of,
        "published_at": runs.now(session),
        "baseline": generation if baseline else before and before.baseline,
        "baseline_run_id": run.run_id if baseline else before and before.baseline_run_id,
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
    ledger.keep_only(session, run)
    session.merge(Published(**named))
    session.flush()


def generation_of(session: Session, kind: str) -> int | None:
    """The generation that readers of a kind see."""
    found = session.get(Published, kind)
    return found.generation if found else None


# A snapshot whose xmin is not newer than the retiring transaction may not see it, and so may still read the
# old generation. age() counts transactions back from now, so it compares correctly across xid wraparound.
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


def retired(session: Session) -> list[tuple[int, str]]:
    """The retired generations that no snapshot can still read, with their kinds."""
    return [(generation, kind) for generation, kind in driver(session).execute(_CAN_GO).fetchall()]


def forget_retired(session: Session, generation: int) -> bool:
    """Remove a generation from the retired ones; False if another process has removed it before."""
    return driver(session).execute("DELETE FROM analytics_retired WHERE generation = %s", [generation]).rowcount > 0
