"""The hint that a run was asked for: a task sent by name. The run itself is in PostgreSQL already."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from uuid import UUID

import structlog
from celery import Celery

log = structlog.get_logger("webhook")


@lru_cache(maxsize=1)
def _celery() -> Celery:
    app = Celery("smartcrm")
    app.config_from_object("celeryconfig")
    # An answer must not wait for Redis: the sweep finds what could not be sent.
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        "socket_connect_timeout": 0.5,
        "socket_timeout": 1,
        "max_retries": 0,
    }
    return app


def advance(run_ids: Iterable[UUID]) -> None:
    """Ask a worker to look at these runs now; where Redis is away, or refuses, the sweep does so later.

    Whatever is wrong with Redis: the runs are stored, and whoever asked for them is told so.
    """
    try:
        for run_id in run_ids:
            _celery().send_task("smartcrm.advance", (str(run_id),), queue="control", retry=False, ignore_result=True)
    except Exception as error:
        log.warning("hint not sent", reason=type(error).__name__)
