"""`smartcrm health`: whether a program of this host answers, for the health checks of container engines.

It runs every few seconds, so this module imports neither the other commands nor SQLAlchemy.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from http.client import HTTPConnection, HTTPException

import click

from errors import UnavailableError

TIMEOUT = 3  # seconds
NODES = {"worker": "worker", "beat": "celerybeat"}


@click.command()
@click.argument("part", type=click.Choice(["webhook", "worker", "beat", "flower"]))
def health(part: str) -> None:
    """Exit with 0 if this host's PART answers, else with 1: for health checks."""
    if part in NODES:
        _answers_ping(f"{NODES[part]}@{socket.gethostname()}")
    elif part == "webhook":
        _answers_http(part, os.environ.get("PORT", "").strip() or "8000", "/healthz")
    else:
        _answers_http(part, os.environ.get("FLOWER_PORT", "").strip() or "5555", f"{flower_prefix()}/healthcheck")


def flower_prefix() -> str:
    """The path prefix that Flower reads from the environment; empty if not set."""
    prefix = os.environ.get("FLOWER_URL_PREFIX", "").strip("/")
    return f"/{prefix}" if prefix else ""


def _answers_http(part: str, port: str, path: str) -> None:
    connection = HTTPConnection("127.0.0.1", int(port) if port.isdecimal() else 0, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise UnavailableError(f"The {part} does not answer on port {port}: {error or type(error).__name__}.") from None
    finally:
        connection.close()
    if status != 200:
        raise UnavailableError(f"The {part} on port {port} answers {path} with {status}.")


def _answers_ping(node: str) -> None:
    from celery import Celery
    from kombu.exceptions import OperationalError

    _find_embedded_servers()
    app = Celery("smartcrm")
    app.config_from_object("celeryconfig")  # not worker.app, which takes longer to import
    try:
        replies = app.control.ping(destination=[node], timeout=TIMEOUT)
    except OperationalError:
        raise UnavailableError(f"{node} can't be pinged: Redis can't be reached at REDIS_URL.") from None
    if not replies:
        raise UnavailableError(f"{node} did not answer within {TIMEOUT} s.")


def _find_embedded_servers() -> None:
    """Set the URLs of the servers that `smartcrm up` has embedded; a health check starts none."""
    from embedded.postgres import Postgres
    from embedded.redis import Redis
    from home import home_from

    for name, server in (("DATABASE_URL", Postgres), ("REDIS_URL", Redis)):
        if not os.environ.get(name, "").strip():
            with suppress(OSError):
                os.environ[name] = server(home_from(os.environ)).url()
