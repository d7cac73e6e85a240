"""The state of a run's parts: missing, done, failed, and what they counted."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from store.models import Part, Run
from store.runs import now


def missing(session: Session, run: Run, stage: str, *, idle: bool = False) -> list[Part]:
    """The stage's parts that are not done; with `idle` only those that no task has locked, locked for the caller."""
    query = select(Part).where(Part.run_id == run.run_id, Part.stage == stage, Part.done_at.is_(None))
    if idle:
        query = query.with_for_update(skip_locked=True)
    return list(session.scalars(query.order_by(Part.part)))


def reopen(session: Session, run: Run, stages: Mapping[str, Sequence[int] | None]) -> None:
    """Mark parts of each stage (None: all parts) as not done, since the rows that they stored are lost."""
    for stage, numbers in stages.items():
        lost = (Part.run_id == run.run_id) & (Part.stage == stage)
        if numbers is not None:
            lost &= Part.part.in_(numbers)
        session.execute(update(Part).where(lost).values(done_at=None, sent_at=None))
    run.counts = {}
    session.flush()


def parts(session: Session, run: Run, stage: str) -> list[Part]:
    """All parts of a stage, in order."""
    return list(session.scalars(select(Part).where(Part.run_id == run.run_id, Part.stage == stage).order_by(Part.part)))


def mark_failed(session: Session, run_id: uuid.UUID, stage: str, part: int, code: str, message: str) -> None:
    """Store that a part has failed, and why; `advance` then fails the run with this error."""
    session.execute(
        update(Part)
        .where(Part.run_id == run_id, Part.stage == stage, Part.part == part, Part.done_at.is_(None))
        .values(error_code=code, error=message)
    )


def first_done(session: Session, run: Run) -> datetime:
    """When the run's first part was done; the run's start was committed before this time."""
    return session.scalars(select(func.min(Part.done_at)).where(Part.run_id == run.run_id)).one() or now(session)


def last_progress(session: Session, run: Run) -> datetime | None:
    """When the run's last part was done."""
    return session.scalars(select(func.max(Part.done_at)).where(Part.run_id == run.run_id)).one()


def part_counts(session: Session, run: Run, stage: str, number: int) -> dict[str, int]:
    """The counts of a part."""
    return session.get_one(Part, (run.run_id, stage, number)).counts or {}


def clear_bounds(session: Session, kind: str, value: str, stages: Sequence[str] | None = None) -> int:
    """Clear a value from the bounds of a kind's parts (of some stages); returns the number of parts changed."""
    parts = [Part.run_id.in_(select(Run.run_id).where(Run.kind == kind))]
    if stages is not None:
        parts.append(Part.stage.in_(stages))
    removed = 0
    for column in (Part.lower, Part.upper):
        query = update(Part).where(*parts, column == value).values({column: None}).returning(Part.part)
        removed += len(session.execute(query).all())
    return removed


def first_failure(session: Session, run: Run) -> Part | None:
    """The run's first failed part."""
    query = select(Part).where(Part.run_id == run.run_id, Part.error_code.is_not(None))
    return session.scalars(query.order_by(Part.stage, Part.part).limit(1)).first()
