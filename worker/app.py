"""The Celery application, its logging, and what every worker process does once."""

from __future__ import annotations

import logging
from typing import Any

import structlog
from celery import Celery, signals

from logs import configure
from settings import Settings

app = Celery("smartcrm")
app.config_from_object("celeryconfig")

settings = Settings.from_env()


@signals.setup_logging.connect
def _logging(**_: Any) -> None:
    configure()


@signals.task_prerun.connect
def _bind(task: Any = None, args: tuple[Any, ...] = (), **_: Any) -> None:
    named = {"run_id": args[0]} if args else {}
    structlog.contextvars.bind_contextvars(task=task.name, **named)


@signals.task_postrun.connect
def _clear(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()


logging.getLogger("alembic").setLevel(logging.WARNING)
