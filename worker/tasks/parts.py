"""What every part of a run has in common as a task: its retries, and its fault written down."""

from __future__ import annotations

import uuid

import psycopg
import structlog
from celery import Task
from sqlalchemy.exc import DataError, DBAPIError

from errors import SmartCRMError
from store import runs
from store.database import TRANSIENT, transaction
from store.parts import claim
from worker import stages
from worker.app import settings
from worker.stages import StagingLostError

RETRY = {
    "autoretry_for": TRANSIENT,
    "retry_backoff": 1,
    "retry_backoff_max": 60,
    "retry_jitter": True,
    "max_retries": 6,
}

log = structlog.get_logger("parts")


class PartFailedError(Exception):
    """Told to Celery and so to Flower; carries the code alone, since a message may quote the data."""


def work(task: Task, run_id: str, stage: str, number: int) -> None:
    """Do one part under its claim; a fault that will not pass is written down and fails the run."""
    try:
        with claim(settings.database_url, uuid.UUID(run_id), stage, number) as claimed:
            if claimed is not None:
                stages.do(settings, claimed)
    except StagingLostError:
        log.warning("staging lost", stage=stage, part=number)
    except TRANSIENT as fault:
        if task.request.retries < task.max_retries:
            raise
        _fail(run_id, stage, number, "database_unavailable", f"PostgreSQL could not be reached: {_brief(fault)}.")
    except SmartCRMError as fault:
        _fail(run_id, stage, number, fault.code, str(fault))
    except (DataError, psycopg.DataError) as fault:
        _fail(
            run_id, stage, number, "data_out_of_range", f"The source holds a value that can't be used: {_brief(fault)}."
        )
    except Exception as fault:
        log.exception("part failed", stage=stage, part=number)
        _fail(run_id, stage, number, "internal_error", f"{stage} {number} failed: {_brief(fault)}.")


def _fail(run_id: str, stage: str, number: int, code: str, message: str) -> None:
    with transaction(settings.database_url) as session:
        runs.mark_failed(session, uuid.UUID(run_id), stage, number, code, message)
    raise PartFailedError(f"{stage} {number}: {code}")


def _brief(fault: Exception) -> str:
    """The fault's primary message, without the detail that may quote a row or a URL."""
    cause = fault.orig if isinstance(fault, DBAPIError) else fault
    if isinstance(cause, psycopg.Error):
        return cause.diag.message_primary or type(cause).__name__
    return type(fault).__name__
