"""Task messages for requested runs. The runs are committed in PostgreSQL before they are sent."""

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
    # An HTTP answer must not wait for Redis: the sweep starts runs whose message could not be sent.
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        "socket_connect_timeout": 0.5,
        "socket_timeout": 1,
        "max_retries": 0,
    }
    return app


def advance(run_ids: Iterable[UUID]) -> None:
    """Send `advance` for these runs. If Redis is down or refuses, the sweep does it later.

    No error is raised: the runs are stored, so the request has succeeded.
    """
    try:
        for run_id in run_ids:
            _celery().send_task("smartcrm.advance", (str(run_id),), queue="control", retry=False, ignore_result=True)
    except Exception as error:
        log.warning("task message not sent", reason=type(error).__name__)
