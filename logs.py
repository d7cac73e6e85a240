"""JSON logs on standard error, one line per event, with the process and the run."""

from __future__ import annotations

import logging
import re
import sys

import structlog


def _without_details(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Remove DETAIL and CONTEXT from PostgreSQL's errors: they quote rows, which may hold customers."""
    if isinstance(traceback := event.get("exception"), str):
        event["exception"] = re.sub(r"(?m)^.*\b(DETAIL|CONTEXT): .*$", "(details left out)", traceback)
    return event


class _WithoutRoutine(logging.Filter):
    """Drops the INFO records of sweeps and health checks, which come every few seconds.

    Celery and Tornado name them in the record's arguments. Their failures have a higher level and stay.
    """

    ROUTINE = re.compile(r"smartcrm\.sweep|GET /healthcheck ")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        if record.levelno > logging.INFO:
            return True
        values = record.args.values() if isinstance(record.args, dict) else record.args or ()
        return not any(isinstance(value, str) and self.ROUTINE.match(value) for value in values)


def configure(level: int = logging.INFO) -> None:
    """Send structlog's and the standard library's events through one JSON formatter."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.CallsiteParameterAdder({structlog.processors.CallsiteParameter.PROCESS}),
        structlog.processors.format_exc_info,
        _without_details,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    handler.addFilter(_WithoutRoutine())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
