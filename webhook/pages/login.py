"""Logging in with an API token, and out."""

from __future__ import annotations

from flask import Blueprint, redirect, request, session, url_for
from werkzeug.wrappers import Response

from webhook.access import refuse, role_of
from webhook.pages import sessions
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


@blueprint.post("/logout")
def leave() -> Response:
    """End the session in this browser."""
    session.clear()
    return redirect(url_for("pages.login.show"), 303)
