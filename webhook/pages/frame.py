"""The frame of every page: its template, its content security policy, and the functions of templates."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask, current_app, make_response, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from store.database import StalePlanError, snapshot
from webhook.pages import pictures, sessions
from webhook.pages.words import Words

# Nothing from other hosts, nothing inline, and no framing by other sites.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
T = TypeVar("T")
STATIC = Path(__file__).parent / "static"


def install(app: Flask, words: Words) -> None:
    """Add texts, formats and charts to the templates."""
    app.config["WORDS"] = words
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.install_gettext_translations(words.translations, newstyle=True)  # type: ignore[attr-defined]
    app.jinja_env.globals.update(words=words, pictures=pictures, role=sessions.role, form_token=sessions.form_token)
    versions = {each.name: hashlib.sha256(each.read_bytes()).hexdigest()[:12] for each in STATIC.iterdir()}
    app.jinja_env.globals["static"] = lambda name: url_for("pages.static", filename=name, v=versions[name])


def words() -> Words:
    """The texts and formats in this application's language."""
    found: Words = current_app.config["WORDS"]
    return found


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A rendered template as a response."""
    return make_response(render_template(template, **values), status)


def finish(response: Response) -> Response:
    """Set the pages' policy, and let browsers cache static files, whose URLs change with their content."""
    response.headers["Content-Security-Policy"] = POLICY
    if request.endpoint == "pages.static":
        response.headers["Cache-Control"] = "public, max-age=86400"
    return response


def read(build: Callable[[Session], T]) -> T:
    """The result of `build` on one snapshot of our tables; repeated once if a migration has changed them meanwhile."""
    url = current_app.config["SETTINGS"].database_url
    try:
        with snapshot(url) as session:
            return build(session)
    except StalePlanError:
        with snapshot(url) as session:
            return build(session)
