"""How gunicorn serves the webhook: `gunicorn --config python:webhook.server --bind 127.0.0.1:8000`."""

from __future__ import annotations

import resource
from typing import Any

from gunicorn.glogging import Logger

import logs

wsgi_app = "webhook.app:create_app()"
worker_class = "webhook.connections.Worker"
workers = 2
threads = 8  # requests at work, of each of them
worker_connections = 1000  # that may be open, of each of them
keepalive = 75  # seconds; above a proxy's (nginx: 60), which would else send a request to a connection just closed
control_socket_disable = True


def post_fork(_server: Any, _worker: Any) -> None:
    """Let a worker have as many files open as it may have connections, where the system permits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * worker_connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class JSONLogger(Logger):  # type: ignore[misc]
    """gunicorn's own lines among ours."""

    def setup(self, cfg: Any) -> None:
        """Let everything in this process be logged as JSON."""
        super().setup(cfg)
        logs.configure()
        self.error_log.handlers = []
        self.error_log.propagate = True


logger_class = JSONLogger
