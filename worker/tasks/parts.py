"""What the tasks of all parts share: their retries, and storing their errors."""

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
    "default_retry_delay": 1,  # seconds, after a worker process was lost; Celery's default is 180
}

log = structlog.get_logger("parts")


class PartFailedError(Exception):
    """The exception that Celery and Flower show; it has only the code, since a message may quote data."""


def work(task: Task, run_id: str, stage: str, number: int) -> None:
    """Do one part while it is claimed; an error that is not transient is stored and fails the run.

    A transient error is retried by Celery, and after that by the sweep.
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
