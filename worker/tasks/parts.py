"""What every part of a run has in common as a task: its retries, and its fault written down."""

from __future__ import annotations

import uuid

import structlog
from celery import Task

import kinds
from kinds.base import RowsLostError
from store import progress, runs
from store.database import TRANSIENT, transaction
from store.parts import claim
from worker.app import settings
from worker.errors import describe, located, took_too_long

RETRY = {
    "autoretry_for": TRANSIENT,
    "retry_backoff": 1,
    "retry_backoff_max": 60,
    "retry_jitter": True,
    "max_retries": 6,
    "default_retry_delay": 1,  # seconds, after a process was lost; the default is 180
}

log = structlog.get_logger("parts")


class PartFailedError(Exception):
    """Told to Celery and so to Flower; carries the code alone, since a message may quote the data."""


def work(task: Task, run_id: str, stage: str, number: int) -> None:
    """Do one part under its claim; a fault that will not pass is written down and fails the run.

    One that may pass is retried here, and after that by the sweep, which has more patience.
    """
    try:
        with claim(settings.database_url, uuid.UUID(run_id), stage, number) as claimed:
            if claimed is not None:
                with located(settings, claimed.run):
                    kinds.get(claimed.run.kind).do(settings, claimed)
    except RowsLostError:
        log.warning("rows lost", stage=stage, part=number)
    except Exception as error:
        code, message = describe(error)
        if isinstance(error, TRANSIENT) and not took_too_long(error):
            runs.note_reason(settings.database_url, uuid.UUID(run_id), message, part=(stage, number))
            raise
        log.exception("part failed", stage=stage, part=number)
        with transaction(settings.database_url) as session:
            progress.mark_failed(session, uuid.UUID(run_id), stage, number, code, message)
        raise PartFailedError(f"{stage} {number}: {code}") from None
