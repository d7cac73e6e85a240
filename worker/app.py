"""The Celery application, its logging, and the checks at the start of a worker or beat."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from celery import Celery, signals

from broker import checks
from errors import SettingsError
from logs import configure
from settings import from_env_or_exit

app = Celery("smartcrm")
app.config_from_object("celeryconfig")

settings = from_env_or_exit()


@signals.setup_logging.connect
def _logging(**_: Any) -> None:
    configure()


@signals.worker_init.connect
@signals.beat_init.connect
def _check_redis(**_: Any) -> None:
    try:
        with settings.redis.client(timeout=3) as client:
            checks.refuse_cluster(client)
    except SettingsError as error:
        sys.exit(f"smartcrm: {error}")


@signals.task_prerun.connect
def _bind(task: Any = None, args: tuple[Any, ...] = (), **_: Any) -> None:
    named = {"run_id": args[0]} if args else {}
    structlog.contextvars.bind_contextvars(task=task.name, **named)


@signals.task_postrun.connect
def _clear(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()


logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log receivers' URLs, which may hold secrets
