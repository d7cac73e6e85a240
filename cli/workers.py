"""Commands and workers: checking that a worker listens, sending `advance`, and waiting for runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

from cli import console
from cli.terminal import Screen
from embedded import locks
from errors import SmartCRMError, UnavailableError
from settings import Settings
from store import runs
from store.database import transaction
from store.runs import RunState

UP = "up.lock"  # in the home; `smartcrm up` holds it while it runs
TIMEOUT = 5.0  # seconds to wait for a worker to answer, or for `up` to start


def wait_for_worker(home: Path) -> None:
    """Wait until a worker listens: a few seconds, or as long as an `up` of this home is running.

    Raises
    ------
    UnavailableError
        When none does.
    """
    deadline = time.monotonic() + TIMEOUT
    while not worker_listens():
        if time.monotonic() > deadline and not locks.held(home / UP):
            raise UnavailableError(
                "No worker is listening; the runs are stored and wait for one. Start it with smartcrm up.",
                code="no_worker",
            )


def worker_listens() -> bool:
    """Whether a worker answers a ping within half a second."""
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    from worker.app import app

    try:
        # Beat answers pings as well, but runs no tasks.
        names = [name for reply in app.control.ping(timeout=0.5) for name in reply]
        return any(not name.startswith("celerybeat@") for name in names)
    except (OperationalError, RedisError) as error:
        raise _no_redis(error) from None


def _no_redis(error: Exception) -> UnavailableError:
    from redis.exceptions import ResponseError

    cause = error if isinstance(error, ResponseError) else error.__cause__
    what = f"refuses ({cause})" if isinstance(cause, ResponseError) else "can't be reached"
    return UnavailableError(f"REDIS_URL: Redis {what}; requested runs start when it is back.")


def send_advance(run_ids: Iterator[UUID]) -> None:
    """Send `advance` for these runs, so that a worker starts them before the next sweep."""
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    from worker.app import app

    try:
        for run_id in run_ids:
            app.send_task("smartcrm.advance", (str(run_id),), queue="control", retry=False, ignore_result=True)
    except (OperationalError, RedisError) as error:
        raise _no_redis(error) from None


def wait_for(
    settings: Settings, run_ids: Sequence[UUID], tick: Callable[[], None], screen: Screen = console.out
) -> Sequence[RunState]:
    """Show these runs' progress on `screen` until all have ended.

    Raises
    ------
    SmartCRMError
        When one of them did not succeed.
    """

    def read() -> list[RunState]:
        with transaction(settings.database_url) as session:
            return [state for run_id in run_ids if (state := runs.get(session, run_id))]

    states = console.follow(read, tick, screen)
    failed = [state.run for state in states if state.run.status != "succeeded"]
    if failed:
        message = "; ".join(
            f"the {run.kind} run {run.status}: {(run.error or 'no reason given').rstrip('.')}" for run in failed
        )
        raise SmartCRMError(message[0].upper() + message[1:], code=failed[0].error_code)
    return states
