"""A run's `error_code` and `error` for an exception: a stable code and one sentence, without data and URLs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy.exc import DataError, DBAPIError

from errors import SmartCRMError
from settings import Settings
from source import limits
from store.database import TRANSIENT
from store.models import Run


@contextmanager
def located(settings: Settings, run: Run) -> Iterator[None]:
    """Replace an error about a value that is too large by one that names the column, the limit and a transaction."""
    try:
        yield
    except Exception as error:
        if describe(error)[0] != limits.CODE:
            raise
        raise limits.explained(settings.source_database_url, run.plan, error) from error


def describe(error: Exception) -> tuple[str, str]:
    """The `error_code` and `error` of an exception."""
    if isinstance(error, SmartCRMError):
        return error.code, str(error)
    if took_too_long(error):
        return "part_too_long", "It took longer than the time limit for a part of a run."
    if isinstance(error, TRANSIENT):
        return "database_unavailable", f"PostgreSQL failed: {_brief(error)}."
    if isinstance(error, DataError | psycopg.DataError):
        return "data_out_of_range", f"The source holds a value that can't be used: {_brief(error)}."
    return "internal_error", f"Internal error, with its traceback in the worker's log: {_brief(error)}."


def took_too_long(error: BaseException | None) -> bool:
    """Whether Celery's soft time limit caused the error; raised in a statement, it looks like a database error."""
    while error is not None and not isinstance(error, SoftTimeLimitExceeded):
        error = error.__context__
    return error is not None


def _brief(error: Exception) -> str:
    """PostgreSQL's primary message, without its detail, which may quote a row."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError) and not cause.diag.message_primary:
        return str(cause).strip().splitlines()[0].rstrip(".") or type(cause).__name__  # libpq's message quotes no row
    if isinstance(cause, psycopg.Error):
        return cause.diag.message_primary or type(cause).__name__
    return type(error).__name__
