"""How gunicorn serves the webhook: `gunicorn --config python:webhook.server --bind 127.0.0.1:8000`."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

import logs

wsgi_app = "webhook.app:create_app()"
worker_class = "gthread"
workers = 2
threads = 8
control_socket_disable = True


class JSONLogger(Logger):  # type: ignore[misc]
    """gunicorn's own lines among ours."""

    def setup(self, cfg: Any) -> None:
        """Let everything in this process be logged as JSON."""
        super().setup(cfg)
        logs.configure()
        self.error_log.handlers = []
        self.error_log.propagate = True


logger_class = JSONLogger
