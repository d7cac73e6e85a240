"""The dashboard: pages that the server renders, with pictures as inline SVG and a few lines of script of our own.

What a page shows comes from the queries that the API answers with, and its state is in its URL.
"""

from __future__ import annotations

from flask import Blueprint, Flask, redirect, url_for
from werkzeug.wrappers import Response

from settings import Settings
from webhook.pages import customers, frame, login, menu, operations, sessions, words
from webhook.pages.errors import answer_as_pages

blueprint = Blueprint("pages", __name__, template_folder="templates", static_folder="static", static_url_path="/static")
blueprint.before_request(sessions.require)
blueprint.after_request(frame.finish)
for part in (login, customers, menu, operations):
    blueprint.register_blueprint(part.blueprint)
answer_as_pages(blueprint)


@blueprint.get("/")
def first() -> Response:
    """The page that is shown first."""
    return redirect(url_for("pages.customers.show"))


def register(app: Flask, settings: Settings) -> None:
    """Give the application its pages."""
    sessions.install(app, settings)
    frame.install(app, words.Words(settings))
    app.register_blueprint(blueprint)
