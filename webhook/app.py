"""The Flask application: `gunicorn 'webhook.app:create_app()'`."""

from __future__ import annotations

from flask import Flask, Response, jsonify

from settings import Settings
from store.schema import require_current
from webhook import imports, problems, runs

MAX_BODY = 64 * 1024


def create_app(settings: Settings | None = None) -> Flask:
    """The front door for these settings, or for the environment's.

    Raises
    ------
    SmartCRMError
        When the settings are wrong, or the tables are not at this program's version.
    """
    app = Flask(__name__)
    app.config["SETTINGS"] = settings or Settings.from_env()
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    require_current(app.config["SETTINGS"].database_url)
    problems.register(app)
    app.register_blueprint(imports.blueprint)
    app.register_blueprint(runs.blueprint)
    app.add_url_rule("/healthz", view_func=healthz)
    return app


def healthz() -> Response:
    """Alive: this process answers."""
    return jsonify(status="ok")
