"""All commands in one group, and their database errors.

pandas, Arrow and Celery are imported inside the commands that need them, since importing takes longer than most
commands run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError

from cli import (  # noqa: F401  # each adds its commands to the group
    clusters,
    history,
    load,
    models,
    predictions,
    recommendations,
    report,
    results,
    runs,
    serving,
    trends,
    upkeep,
)
from cli.app import cli
from cli.health import health
from errors import SmartCRMError

__all__ = ["cli", "database_errors"]

cli.add_command(health)


@contextmanager
def database_errors() -> Iterator[None]:
    """Raise PostgreSQL's errors as SmartCRMError with one sentence."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        message = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
        raise SmartCRMError(f"PostgreSQL failed: {message or str(cause).strip().splitlines()[0]}.") from error
