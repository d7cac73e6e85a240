"""The Flask application; webhook/server.py serves it."""

from __future__ import annotations

import time

import structlog
from flask import Flask, Response, current_app, g, request
from werkzeug.routing import PathConverter

from errors import UnavailableError
from settings import Settings
from store.schema import OutdatedError, SchemaError, require_current
from webhook import (
    changes,
    clusters,
    comparisons,
    exports,
    health,
    imports,
    menu,
    menu_matrix,
    metrics,
    openapi,
    pages,
    predictions,
    problems,
    recommendations,
    runs,
    segments,
    segments_preview,
    trends,
    versions,
)
from webhook.connections import MAX_BODY

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

log = structlog.get_logger("access")


class _Rest(PathConverter):
    """The rest of a path, unchanged: a customer's id may begin with a slash, which Werkzeug's converter refuses."""

    part_isolating = False
    regex = "(?s:.+)"


def create_app(settings: Settings | None = None) -> Flask:
    """The application for these settings, or for the environment's.

    Where PostgreSQL can't be reached now, or the tables are not at this program's version, requests check again until
    they are; until then the answer is 503. A process that refused to start would have gunicorn stop those that serve.

    Raises
    ------
    SmartCRMError
        When the settings are wrong, such as a RESULTS_SCHEMA that holds another program's tables.
    """
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a customer's id may contain several in a row
    app.url_map.converters["path"] = _Rest
    app.config["SETTINGS"] = settings or Settings.from_env()
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["TABLES_CHECKED"] = _tables_checked(app.config["SETTINGS"])
    problems.register(app)
    of_customers = (segments, segments_preview, changes, recommendations, predictions, clusters)
    of_orders = (menu, menu_matrix, trends, comparisons)
    for module in (imports, runs, *of_customers, *of_orders, exports, versions, health, metrics, openapi):
        app.register_blueprint(module.blueprint)
    pages.register(app, app.config["SETTINGS"])
    app.before_request(_begin)
    app.before_request(_check_host)
    app.before_request(_check_tables)
    app.after_request(_end)
    return app


def _begin() -> None:
    g.began = time.perf_counter()


def _check_host() -> None:
    if request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1" and "Host" not in request.headers:
        raise problems.Problem(400, "bad_request", "A request in HTTP/1.1 has to have a Host header.")


def _tables_checked(settings: Settings) -> bool:
    """True if the tables have our version, False if they are to be migrated or PostgreSQL can't be reached."""
    try:
        require_current(settings.database_url)
    except UnavailableError as error:
        if isinstance(error, SchemaError) and not isinstance(error, OutdatedError):
            raise
        log.warning("started, answers 503 for now", reason=str(error))
        return False
    return True


def _check_tables() -> None:
    if not current_app.config["TABLES_CHECKED"] and request.blueprint not in ("health", "openapi"):
        require_current(current_app.config["SETTINGS"].database_url)
        current_app.config["TABLES_CHECKED"] = True


def _end(response: Response) -> Response:
    """Set the headers of every answer, and log it: by its route, since the path may hold a customer's id."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    took = round(1000 * (time.perf_counter() - g.began), 1) if "began" in g else None
    route = request.url_rule.rule if request.url_rule else None
    level = log.debug if route == "/healthz" else log.info  # health checks come every few seconds
    level("answered", method=request.method, route=route, status=response.status_code, ms=took)
    return response
