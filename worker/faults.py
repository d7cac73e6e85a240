"""What a fault is called in a run: its stable code and one sentence, without what a row or a URL may hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy.exc import DataError, DBAPIError

from errors import SmartCRMError
from postgres import TRANSIENT
from settings import Settings
from source import limits
from store.models import Run


@contextmanager
def located(settings: Settings, run: Run) -> Iterator[None]:
    """Replaces an error over a value that is too large by one that names its column, the limit and a transaction."""
    try:
        yield
    except Exception as error:
        if told(error)[0] != limits.CODE:
            raise
        raise limits.explained(settings.source_database_url, run.plan, error) from error


def told(fault: Exception) -> tuple[str, str]:
    """The fault's `error_code` and `error`."""
    if isinstance(fault, SmartCRMError):
        return fault.code, str(fault)
    if took_too_long(fault):
        return "part_too_long", "It took longer than a part of a run may take."
    if isinstance(fault, TRANSIENT):
        return "database_unavailable", f"PostgreSQL could not do it: {_brief(fault)}."
    if isinstance(fault, DataError | psycopg.DataError):
        return "data_out_of_range", f"The source holds a value that can't be used: {_brief(fault)}."
    return "internal_error", f"It failed for a reason of ours, which the log has: {_brief(fault)}."


def took_too_long(fault: BaseException | None) -> bool:
    """Whether Celery's soft time limit is behind it; cut off in a statement, it looks like a fault of the database."""
    while fault is not None and not isinstance(fault, SoftTimeLimitExceeded):
        fault = fault.__context__
    return fault is not None


def _brief(fault: Exception) -> str:
    """The primary message of what PostgreSQL said; its detail may quote a row, and is left out."""
    cause = fault.orig if isinstance(fault, DBAPIError) else fault
    if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError) and not cause.diag.message_primary:
        return str(cause).strip().splitlines()[0].rstrip(".") or type(cause).__name__  # libpq's own: it quotes no row
    if isinstance(cause, psycopg.Error):
        return cause.diag.message_primary or type(cause).__name__
    return type(fault).__name__
