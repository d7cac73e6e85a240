"""What commands ask of the workers: whether one listens, that a run is advanced now, and to wait for its end."""

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

UP = "up.lock"  # in the home, held by `smartcrm up` from its start to its end
PATIENCE = 5.0  # seconds that a worker may take to answer, or `up` to be there


def wait_for_worker(home: Path) -> None:
    """Wait until a worker listens: a moment, or for as long as an `up` of this home is there.

    Raises
    ------
    UnavailableError
        When none will.
    """
    deadline = time.monotonic() + PATIENCE
    while not worker_listens():
        if time.monotonic() > deadline and not locks.held(home / UP):
            raise UnavailableError(
                "No worker is listening, so the runs will wait for one; start it with smartcrm up.", code="no_worker"
            )


def worker_listens() -> bool:
    """Whether a worker answers a ping within half a second."""
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    from worker.app import app

    try:
        # Beat answers pings, too, and does no work.
        names = [name for reply in app.control.ping(timeout=0.5) for name in reply]
        return any(not name.startswith("celerybeat@") for name in names)
    except (OperationalError, RedisError) as error:
        raise _no_redis(error) from None


def _no_redis(error: Exception) -> UnavailableError:
    from redis.exceptions import ResponseError

    cause = error if isinstance(error, ResponseError) else error.__cause__
    what = f"refuses ({cause})" if isinstance(cause, ResponseError) else "can't be reached"
    return UnavailableError(f"REDIS_URL: Redis {what}; what was asked for starts when it is back.")


def send_hints(run_ids: Iterator[UUID]) -> None:
    """Have a worker advance these runs now, rather than with the next sweep."""
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
        said = "; ".join(
            f"the {run.kind} run {run.status}: {(run.error or 'no reason given').rstrip('.')}" for run in failed
        )
        raise SmartCRMError(said[0].upper() + said[1:], code=failed[0].error_code)
    return states
