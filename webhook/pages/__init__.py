"""The dashboard: pages rendered on the server, with charts as inline SVG and a few lines of JavaScript.

Pages use the same queries as the API; a page's state is in its URL.
"""

from __future__ import annotations

from flask import Blueprint, Flask

from settings import Settings
from webhook.pages import (
    clusters,
    cohorts,
    customer,
    customers,
    frame,
    items,
    login,
    matrix,
    menu,
    morning,
    operations,
    rules,
    sessions,
    words,
)
from webhook.pages.errors import answer_as_pages

blueprint = Blueprint("pages", __name__, template_folder="templates", static_folder="static", static_url_path="/static")
blueprint.before_request(sessions.require)
blueprint.after_request(frame.finish)
for part in (login, morning, customers, customer, clusters, cohorts, menu, items, matrix, rules, operations):
    blueprint.register_blueprint(part.blueprint)
answer_as_pages(blueprint)


def register(app: Flask, settings: Settings) -> None:
    """Register the pages with the application."""
    sessions.install(app, settings)
    frame.install(app, words.Words(settings))
    app.register_blueprint(blueprint)
