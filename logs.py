"""JSON logs on standard error, one line an event, with its process and the run that it belongs to."""

from __future__ import annotations

import logging
import re
import sys

import structlog


def _without_details(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Without what PostgreSQL adds to its faults: it quotes rows, and with them customers."""
    if isinstance(told := event.get("exception"), str):
        event["exception"] = re.sub(r"(?m)^.*\b(DETAIL|CONTEXT): .*$", "(details left out)", told)
    return event


class _Eventful(logging.Filter):
    """Leaves out what comes every few seconds for as long as nothing happens: sweeps and health checks.

    Celery and Tornado name them in their messages' arguments. Failures of theirs are no INFO and stay.
    """

    ROUTINE = re.compile(r"smartcrm\.sweep|GET /healthcheck ")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is worth a line."""
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
    handler.addFilter(_Eventful())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
