"""Logging in with an API token or a signed link, and out."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, request, session, url_for
from werkzeug.wrappers import Response

from settings import Settings
from webhook.access import refuse, role_of
from webhook.pages import links, sessions
from webhook.pages.frame import page
from webhook.problems import Problem

blueprint = Blueprint("login", __name__)


@blueprint.get("/login")
def show() -> Response:
    """The form."""
    return page("login.html", next=sessions.inner_path(request.args.get("next", "/")))


@blueprint.post("/login")
def enter() -> Response:
    """Begin a session if the token is one of API_TOKENS."""
    wanted = sessions.inner_path(request.form.get("next", "/"))
    role = role_of(request.form.get("token", "").strip().removesuffix(":read"))
    if role is None:
        try:
            refuse(Problem(401, "unauthorized", "This is not one of the tokens."))
        except Problem as problem:
            return page("login.html", problem.status, next=wanted, problem=problem)
    sessions.begin(role)
    return redirect(request.script_root + wanted, 303)


@blueprint.get("/login/link/<signed>")
def follow(signed: str) -> Response:
    """Begin a session that may look, if the link is one of ours and not too old."""
    settings: Settings = current_app.config["SETTINGS"]
    wanted = links.wanted(settings, signed)
    if wanted is None:
        try:
            detail = "This link is no longer valid. Log in with a token, or ask for another link."
            refuse(Problem(401, "unauthorized", detail))
        except Problem as problem:
            return page("login.html", problem.status, next="/", problem=problem)
    if sessions.role() is None:
        sessions.begin("read")
    return redirect(request.script_root + wanted, 303)


@blueprint.post("/logout")
def leave() -> Response:
    """End the session in this browser."""
    session.clear()
    return redirect(url_for("pages.login.show"), 303)
