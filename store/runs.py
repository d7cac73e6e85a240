"""Runs: reading them, and their state transitions.

    pending ──► running ──► succeeded
       │           ├──────► failed
       └───────────┴──────► cancelled

Every transition happens under the run's row lock. One run per kind is running at a time (a partial unique index
guarantees it). store/inbox.py creates runs, store/progress.py reads their parts.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, any_, func, literal, select, text
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import Session

from errors import RequestError
from store import totals
from store.database import TRANSIENT, transaction
from store.models import ACTIVE, Delivery, Part, Published, Run

FINISHED = ("succeeded", "failed", "cancelled")
LONGEST_WAIT = timedelta(minutes=5)  # between two tries at a step

# Advisory locks per kind, held until the transaction ends: shared to join a pending run unchanged, exclusive to create,
# change or start one. PostgreSQL grants them in the order of requests, so a stream of joining requests can't keep a
# run from starting, as it could with a row lock.
JOINING = text(
    "SELECT pg_advisory_xact_lock_shared(hashtext('smartcrm.' || kind)) FROM unnest(CAST(:kinds AS text[])) AS kind"
)
CHANGING = text("SELECT pg_advisory_xact_lock(hashtext('smartcrm.' || :kind))")


@dataclass(frozen=True)
class StageState:
    """A stage of a run: how many parts it has, and how many are done."""

    name: str
    parts: int
    done: int
    reason: str | None = None  # why a part that is not done had to be retried


@dataclass(frozen=True)
class RunState:
    """A run for display: its row, its stages in order, and its progress from 0 to 1."""

    run: Run
    stages: Sequence[StageState] = ()

    @property
    def progress(self) -> float:
        """Parts done ÷ parts planned; below 1 until the run has succeeded."""
        if self.run.status == "succeeded":
            return 1.0
        planned, done = sum(stage.parts for stage in self.stages), sum(stage.done for stage in self.stages)
        return round(0.99 * done / planned, 4) if planned else 0.0

    @property
    def error(self) -> str | None:
        """Why it failed, or, while it is running, why it was last retried."""
        waits = next((stage.reason for stage in self.stages if stage.reason), None)
        return self.run.error or (waits if self.run.status in ACTIVE else None)


def get(session: Session, run_id: uuid.UUID) -> RunState | None:
    """One run's state, or None."""
    return next(iter(_states(session, [Run.run_id == run_id], 1)), None)


def newest(
    session: Session,
    *,
    kind: str | None = None,
    status: str | None = None,
    delivery_id: str | None = None,
    limit: int = 50,
) -> list[RunState]:
    """The newest runs that match, newest first; `delivery_id` is a webhook-id of an HTTP request."""
    wanted: list[ColumnElement[bool]] = []
    if kind is not None:
        wanted.append(Run.kind == kind)
    if status is not None:
        wanted.append(Run.status == status)
    if delivery_id is not None:
        of_delivery = select(func.unnest(Delivery.run_ids)).where(
            Delivery.sender.in_(("webhook", "api")), Delivery.delivery_id == delivery_id
        )
        wanted.append(Run.run_id.in_(of_delivery))
    return _states(session, wanted, limit)


def _states(session: Session, wanted: Sequence[ColumnElement[bool]], limit: int) -> list[RunState]:
    query = select(Run).where(*wanted).order_by(Run.requested_at.desc(), Run.generation.desc()).limit(limit)
    found = session.scalars(query).all()
    waits = func.max(Part.error).filter(Part.done_at.is_(None))
    counted = select(Part.run_id, Part.stage, func.count(), func.count(Part.done_at), waits).group_by(
        Part.run_id, Part.stage
    )
    stages: dict[uuid.UUID, dict[str, StageState]] = {run.run_id: {} for run in found}
    for run_id, stage, planned, done, reason in session.execute(counted.where(Part.run_id.in_(stages))):
        stages[run_id][stage] = StageState(stage, planned, done, reason)
    return [RunState(run, [stages[run.run_id][name] for name in _in_order(run, stages[run.run_id])]) for run in found]


def _in_order(run: Run, stages: Iterable[str]) -> list[str]:
    order = (run.plan or {}).get("stages", [])  # absent in runs that an older version planned
    return sorted(stages, key=lambda name: (order.index(name) if name in order else len(order), name))


def unfinished(session: Session) -> list[uuid.UUID]:
    """The ids of all pending and running runs, oldest first."""
    return list(session.scalars(select(Run.run_id).where(Run.status.in_(ACTIVE)).order_by(Run.generation)))


def lock(session: Session, run_id: uuid.UUID) -> Run | None:
    """The run, locked until the transaction ends; None when there is no such run."""
    return session.scalars(select(Run).where(Run.run_id == run_id).with_for_update()).first()


def take(session: Session, run_id: uuid.UUID, *, from_sweep: bool) -> Run | None:
    """Count a try at a run's next step; returns the run, locked, or None where the caller should leave it alone.

    A pending run is set running if it is next and no run of its kind is running; it is not next while a run that it
    waits for is unfinished. Requests don't join it from here on. Another run is left alone if it has finished, or,
    with `from_sweep`, if it is locked or its backoff since the last try isn't over.

    Committed before the step itself, so that requests don't wait for planning, and a step that kills its process is
    counted.
    """
    kind = session.scalars(select(Run.kind).where(Run.run_id == run_id, Run.status == "pending")).first()
    if kind is not None:
        session.execute(CHANGING, {"kind": kind})
    query = select(Run).where(Run.run_id == run_id, Run.status.in_(ACTIVE))
    run = session.scalars(query.with_for_update(skip_locked=from_sweep and kind is None)).first()
    if run is None:
        return None
    moment = now(session)
    if run.status == "pending":
        if not _is_next(session, run):
            return None
        run.status, run.started_at = "running", moment
    wait = min(timedelta(seconds=2**run.tries), LONGEST_WAIT)
    if from_sweep and run.tries and is_before(moment, run.tried_at, wait):
        return None
    run.tries, run.tried_at = run.tries + 1, moment
    session.flush()
    return run


def _is_next(session: Session, run: Run) -> bool:
    ahead = (
        (Run.kind == run.kind)
        & (Run.run_id != run.run_id)
        & ((Run.status == "running") | ((Run.status == "pending") & _goes_before(run)))
    )
    needed = Run.run_id.in_(run.waits_for) & Run.status.in_(ACTIVE)
    return session.scalars(select(Run.run_id).where(ahead | needed).limit(1)).first() is None


def _goes_before(run: Run) -> ColumnElement[bool]:
    """Whether a pending run of the kind goes first: those without an explicit as_of, then in the order of requests."""
    older = Run.generation < run.generation
    return ~Run.as_of_given | older if run.as_of_given else ~Run.as_of_given & older


def is_before(moment: datetime, since: datetime | None, wait: timedelta) -> bool:
    """Whether less than `wait` has passed since then. False for a time in the future, left by a clock set back."""
    return since is not None and since <= moment < since + wait


def start(session: Session, run: Run, plan: dict[str, Any], parts: Sequence[Part], as_of: datetime) -> None:
    """Store the plan and its parts; from here on the run depends on no setting."""
    run.plan, run.as_of, run.counts = plan, as_of, {}
    session.add_all(parts)
    session.flush()


def finish(session: Session, run: Run, status: str, *, error_code: str | None = None, error: str | None = None) -> None:
    """End the run with this status, and the reason if it failed."""
    run.status, run.error_code, run.error = status, error_code, error
    run.finished_at = now(session)
    session.flush()


def cancel(session: Session, run_id: uuid.UUID) -> None:
    """Cancel a run that is not finished; what is published stays.

    Raises
    ------
    RequestError
        When there is no such run, or it has finished.
    """
    run = lock(session, run_id)
    if run is None:
        raise RequestError(f"There is no run {run_id}.", code="run_not_found")
    if run.status in FINISHED:
        raise RequestError(f"The run {run_id} has {run.status} already.", code="run_finished")
    finish(session, run, "cancelled")
    totals.count_run(session, run)


def following(session: Session, run: Run) -> list[uuid.UUID]:
    """The runs that may start when this one has ended: the next of its kind, and those that wait for its results."""
    pending = select(Run.run_id).where(Run.status == "pending")
    next_one = pending.where(Run.kind == run.kind).order_by(Run.as_of_given, Run.generation).limit(1)
    readers = pending.where(literal(run.run_id) == any_(Run.waits_for)).order_by(Run.as_of_given, Run.generation)
    return [*session.scalars(next_one), *session.scalars(readers)]


def now(session: Session) -> datetime:
    """The database's clock, which all hosts share. Writes no pending changes, as other queries do."""
    clock = select(func.clock_timestamp(type_=TIMESTAMP(timezone=True)))
    moment: datetime | None = session.connection().scalar(clock)
    assert moment is not None
    return moment


def note_reason(url: str, run_id: uuid.UUID, reason: str, *, part: tuple[str, int] | None = None) -> None:
    """Store why a run, or one of its parts, has to be retried; skipped when the row is locked or PostgreSQL is away."""
    with suppress(*TRANSIENT), transaction(url) as session:
        which: Select[Run] | Select[Part] = select(Run).where(Run.run_id == run_id, Run.status == "running")
        if part is not None:
            which = select(Part).where(
                Part.run_id == run_id,
                Part.stage == part[0],
                Part.part == part[1],
                Part.done_at.is_(None),
                Part.error_code.is_(None),
            )
        found = session.scalars(which.with_for_update(skip_locked=True)).first()
        if found is not None:
            found.error = reason


def published_run(session: Session, kind: str) -> Run:
    """The run that wrote the published state of this kind; there has to be one."""
    return session.scalars(
        select(Run).join(Published, Published.run_id == Run.run_id).where(Published.kind == kind)
    ).one()
