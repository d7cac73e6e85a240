"""`advance(run_id)`: the only thing that moves a run.

It takes the run's lock, looks at its parts, and does the one next step: start it, send what is missing,
reduce, publish, or fail. A chord's end, the sweep, acceptance and the command line all only call it: they
say when, the database says what, and a call too many is harmless.
"""

from __future__ import annotations

import uuid
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

import kinds
from errors import SmartCRMError
from kinds.base import Draft
from settings import Settings
from store import events, progress, runs, totals
from store.database import TRANSIENT, transaction
from store.models import Run
from store.parts import Claim
from worker import planning
from worker.errors import describe, located

log = structlog.get_logger("steering")

RESEND_AFTER = timedelta(seconds=10)
SENDS = 10  # of one part, the waits between them doubling up to 64 times the first
TRIES = 12  # at one step
DEADLINE = timedelta(hours=24)  # of a run, from its start; a nightly one has long followed it


class RunLostError(SmartCRMError):
    """A run that has come no further in all its attempts."""


def advance(settings: Settings, run_id: uuid.UUID, *, from_sweep: bool = False) -> list[tuple[str, int]]:
    """Move the run by what it needs; returns the parts to send as (stage, number), written down as sent.

    A fault that a person has to mend, and one attempt too many, fail the run with the reason; what is published
    stays. Who is not `patient`, the sweep, leaves a run alone that is moving or was tried just now.

    Raises
    ------
    TRANSIENT
        When a database can't be reached; the run is as it was, and the same call may succeed in a while.
    """
    tries = 0
    try:
        with transaction(settings.database_url) as session:
            if runs.begin(session, run_id):
                tries = runs.try_step(session, run_id, from_sweep=from_sweep)
            if not tries:
                return []
            unplanned = session.get_one(Run, run_id)
            _check_attempts(session, unplanned)
        draft = planning.draft(settings, unplanned) if unplanned.plan is None else None
        with transaction(settings.database_url) as session:
            run = runs.lock(session, run_id)
            if run is None:
                return []
            with located(settings, run):
                parts = _step(session, settings, run, draft)
            run.tries = 0
            if run.status not in runs.FINISHED:
                run.error = None
            if from_sweep and (parts or run.status in runs.FINISHED):
                totals.add(session, "sweep_moves", kind=run.kind)
            return parts
    except TRANSIENT as error:
        _, reason = describe(error)
        if tries < TRIES:
            if tries:
                runs.note_reason(settings.database_url, run_id, reason)
            raise
        fail(settings, run_id, describe(error)[0], f"It was tried {TRIES} times. {reason}")
    except Exception as error:
        log.exception("run failed", run_id=str(run_id))
        fail(settings, run_id, *describe(error))
    return []


def _check_attempts(session: Session, run: Run) -> None:
    seen = f" The last reason: {run.error}" if run.error else ""
    if run.tries > TRIES:
        died = "" if run.error else ", and each time the process that worked on it died"
        raise RunLostError(f"Its next step was begun {TRIES} times{died}.{seen}", code="step_lost")
    if run.started_at is not None and run.started_at + DEADLINE < runs.now(session):
        hours = round(DEADLINE.total_seconds() / 3600)
        raise RunLostError(f"It did not end within {hours} hours of its start.{seen}", code="deadline_passed")


def fail(settings: Settings, run_id: uuid.UUID, code: str, message: str) -> None:
    """End the run with a reason, unless it has ended."""
    with transaction(settings.database_url) as session:
        run = runs.lock(session, run_id)
        if run is not None and run.status not in runs.FINISHED:
            _finish(session, settings, run, "failed", code, message)


def _finish(
    session: Session, settings: Settings, run: Run, status: str, code: str | None = None, message: str | None = None
) -> None:
    """End the run, and write down the events that tell of it."""
    if status == "succeeded" and run.plan is not None and "future_transactions" in run.plan:
        run.counts = (run.counts or {}) | {"future_transactions": run.plan["future_transactions"]}
    runs.finish(session, run, status, error_code=code, error=message)
    totals.count_run(session, run)
    if not run.as_of_given:
        published = {name: value for kind in kinds.every() for name, value in kind.event_data(session).items()}
        events.record(session, run, settings.event_urls, published)
    log.info(f"run {status}", run_id=str(run.run_id), kind=run.kind, mode=run.mode, error_code=code, error=message)


def following(settings: Settings, run_id: uuid.UUID) -> list[uuid.UUID]:
    """The runs that may start now, if this one is finished."""
    with transaction(settings.database_url) as session:
        run = session.get(Run, run_id)
        return runs.following(session, run) if run is not None and run.status in runs.FINISHED else []


def _step(session: Session, settings: Settings, run: Run, draft: Draft | None) -> list[tuple[str, int]]:
    if run.status in runs.FINISHED:
        return []
    if run.plan is None:
        if draft is None:
            return []
        planning.start(session, run, draft)
        log.info("run started", run_id=str(run.run_id), kind=run.kind, mode=run.mode)
    error = progress.first_failure(session, run)
    if error is not None:
        _finish(session, settings, run, "failed", error.error_code, error.error)
        return []
    return _next_stage(session, settings, run)


def _next_stage(session: Session, settings: Settings, run: Run) -> list[tuple[str, int]]:
    assert run.plan is not None
    kind = kinds.get(run.kind)
    few = run.mode == "incremental" and run.plan.get("inline", True)
    before = None
    for stage in kind.stages:
        missing = progress.missing(session, run, stage.name)
        if missing and stage.before is not None and before is not None:
            stage.before(session, settings, run)
            if progress.missing(session, run, before.name):
                return _to_send(session, run, before.name)
            missing = progress.missing(session, run, stage.name)
        if few or (stage.inline and len(missing) == 1 and missing[0].sent_at is None):
            # Done right here: messages would cost more than the work.
            for part in missing:
                kind.do(settings, Claim(session, run, part))
                part.done_at = runs.now(session)
        elif missing:
            return _to_send(session, run, stage.name)
        before = stage
    if run.mode == "incremental":
        kind.merge(session, settings, run)
    else:
        kind.publish(session, settings, run)
    _finish(session, settings, run, "succeeded")
    return []


def _to_send(session: Session, run: Run, stage: str) -> list[tuple[str, int]]:
    """The missing parts that no message is likely to be on its way for; a repeat waits longer each time.

    A part that is being worked on is locked; as long as one is, or was done just now, the others wait for their turn.

    Raises
    ------
    RunLostError
        When a part was sent too often and nobody is working on it.
    """
    now, moved = runs.now(session), progress.last_progress(session, run)
    missing = progress.missing(session, run, stage)
    due = [
        part
        for part in missing
        if part.sent_at is None
        or not (
            runs.is_before(now, part.sent_at, RESEND_AFTER * 2 ** min(part.sends - 1, 6))
            or runs.is_before(now, moved, RESEND_AFTER)
        )
    ]
    # Locked only where something is due: a part whose task looks for it just then would be passed over.
    if not due or len(progress.missing(session, run, stage, idle=True)) < len(missing):
        return []
    for part in due:
        if part.sends >= SENDS:
            seen = f"The last reason: {part.error}" if part.error else "Their logs tell why."
            message = f"Part {part.part} of its stage {stage} was sent {SENDS} times and no process finished it."
            raise RunLostError(f"{message} {seen}", code="part_lost")
    again = sum(part.sends > 0 for part in due)
    if again:
        totals.add(session, "parts_resent", again, kind=run.kind, stage=stage)
        log.warning("parts sent again", run_id=str(run.run_id), stage=stage, parts=again)
    for part in due:
        part.sent_at, part.sends = now, part.sends + 1
    return [(part.stage, part.part) for part in due]
