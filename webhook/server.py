"""gunicorn's configuration: `gunicorn --config python:webhook.server --bind 127.0.0.1:8000`."""

from __future__ import annotations

import resource
from typing import Any

from gunicorn.glogging import Logger

import logs

wsgi_app = "webhook.app:create_app()"
worker_class = "webhook.connections.Worker"
workers = 2
threads = 8  # concurrent requests per worker
worker_connections = 1000  # open connections per worker
keepalive = 75  # seconds; more than a proxy's (nginx: 60), so that it never uses a connection that we have closed
control_socket_disable = True


def post_fork(_server: Any, _worker: Any) -> None:
    """Raise the limit of open files to what the connections of a worker need, as far as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * worker_connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class JSONLogger(Logger):  # type: ignore[misc]
    """gunicorn's log lines as JSON, like ours."""

    def setup(self, cfg: Any) -> None:
        """Configure JSON logging for the process."""
        super().setup(cfg)
        logs.configure()
        self.error_log.handlers = []
        self.error_log.propagate = True


logger_class = JSONLogger
