"""`advance(run_id)`: the only function that changes a run's state.

It locks the run, reads its parts from the database, and does the next step: start the run, send missing parts, run
the step between two stages, publish, or fail. The end of a chord, the sweep, the webhook and the command line only
call it. The database says what the next step is, so an extra call is harmless.
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
from source import reading
from store import events, progress, runs, totals, versions
from store.database import TRANSIENT, transaction
from store.models import Run
from store.parts import Claim
from worker import planning
from worker.errors import describe, located

log = structlog.get_logger("steering")

RESEND_AFTER = timedelta(seconds=10)
SENDS = 10  # per part; the waits between them double up to 64 times RESEND_AFTER
TRIES = 12  # per step
DEADLINE = timedelta(hours=24)  # of a run, from its start


class RunLostError(SmartCRMError):
    """A run that made no progress in all its attempts, or took longer than its deadline."""


def advance(settings: Settings, run_id: uuid.UUID, *, from_sweep: bool = False) -> list[tuple[str, int]]:
    """Do the run's next step; returns the parts to send as (stage, number), stored as sent.

    An error that is not transient, or too many attempts, fail the run with the reason; the published results stay. The
    sweep (`from_sweep`) leaves a run alone that another process has locked, or that was tried a moment ago.

    Raises
    ------
    TRANSIENT
        When a database can't be reached; the run is unchanged, and the same call may succeed later.
    """
    with reading.kept():
        return _advance(settings, run_id, from_sweep=from_sweep)


def _advance(settings: Settings, run_id: uuid.UUID, *, from_sweep: bool) -> list[tuple[str, int]]:
    tries = 0
    try:
        with transaction(settings.database_url) as session:
            unplanned = runs.take(session, run_id, from_sweep=from_sweep)
            if unplanned is None:
                return []
            tries = unplanned.tries
            _check_attempts(unplanned)
        draft = planning.draft(settings, unplanned) if unplanned.plan is None else None
        with transaction(settings.database_url) as session:
            run = runs.lock(session, run_id)
            if run is None:
                return []
            run.tries = 0
            with located(settings, run):
                parts = _step(session, settings, run, draft)
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
        fail(settings, run_id, describe(error)[0], f"The run's next step failed {TRIES} times. {reason}")
    except Exception as error:
        log.exception("run failed", run_id=str(run_id))
        fail(settings, run_id, *describe(error))
    return []


def _check_attempts(run: Run) -> None:
    last = f" The last error: {run.error}" if run.error else ""
    if run.tries > TRIES:
        died = "" if run.error else ", and each time its process died"
        raise RunLostError(f"The run's next step was started {TRIES} times{died}.{last}", code="step_lost")
    if run.started_at is not None and run.tried_at is not None and run.started_at + DEADLINE < run.tried_at:
        hours = round(DEADLINE.total_seconds() / 3600)
        raise RunLostError(f"The run did not end within {hours} hours of its start.{last}", code="deadline_passed")


def fail(settings: Settings, run_id: uuid.UUID, code: str, message: str) -> None:
    """Fail the run with a reason, unless it has ended."""
    with transaction(settings.database_url) as session:
        run = runs.lock(session, run_id)
        if run is not None and run.status not in runs.FINISHED:
            _finish(session, settings, run, "failed", code, message)


def _finish(
    session: Session, settings: Settings, run: Run, status: str, code: str | None = None, message: str | None = None
) -> None:
    """End the run, and store its events."""
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
    inline = run.mode == "incremental" and run.plan.get("inline", True)
    for place, stage in enumerate(kind.stages):
        missing = progress.missing(session, run, stage.name)
        if missing and stage.before is not None and place:
            stage.before(session, settings, run)
            for earlier in kind.stages[:place]:
                if progress.missing(session, run, earlier.name):
                    return _to_send(session, run, earlier.name)
            missing = progress.missing(session, run, stage.name)
        if inline or (stage.inline and len(missing) == 1 and missing[0].sent_at is None):
            # A message would take longer than the work.
            for part in missing:
                kind.do(settings, Claim(session, run, part))
                part.done_at = runs.now(session)
        elif missing:
            return _to_send(session, run, stage.name)
    if run.mode == "incremental":
        kind.merge(session, settings, run)
    else:
        kind.publish(session, settings, run)
        versions.promote_trained(session, run)
    for other in kinds.every():
        if other.name != run.kind:
            other.follow(session, run)
    _finish(session, settings, run, "succeeded")
    return []


def _to_send(session: Session, run: Run, stage: str) -> list[tuple[str, int]]:
    """The missing parts that are due to be sent: those never sent, and those whose message seems lost.

    The wait before a part is sent again doubles each time. Nothing is sent while a part of the stage is locked, which
    means that a task works on it; nor is a part sent again shortly after another one was done.

    Raises
    ------
    RunLostError
        When a part was sent too often and no task works on it.
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
    # Lock the parts only if one is due: a task that finds its part locked here would skip it.
    if not due or len(progress.missing(session, run, stage, idle=True)) < len(missing):
        return []
    for part in due:
        if part.sends >= SENDS:
            last = f"The last error: {part.error}" if part.error else "The workers' logs say why."
            message = f"Part {part.part} of the stage {stage} was sent {SENDS} times and no worker finished it."
            raise RunLostError(f"{message} {last}", code="part_lost")
    resent = sum(part.sends > 0 for part in due)
    if resent:
        totals.add(session, "parts_resent", resent, kind=run.kind, stage=stage)
        log.warning("parts sent again", run_id=str(run.run_id), stage=stage, parts=resent)
    for part in due:
        part.sent_at, part.sends = now, part.sends + 1
    return [(part.stage, part.part) for part in due]
