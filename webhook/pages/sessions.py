"""Sessions: a signed cookie with the visitor's role, and a token in forms against cross-site request forgery.

The cookie is signed with a key derived from all API tokens: no further secret is needed, every process on every host
has the same key, and removing a token ends all sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta
from urllib.parse import urlsplit

from flask import Flask, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from werkzeug.wrappers import Response

from settings import Settings
from webhook.problems import Problem

LASTS = timedelta(days=14)
READING_POSTS = ("pages.login.leave", "pages.rules.dry_run")  # allowed with a role that may only read
OPEN = ("pages.static", "pages.login.show", "pages.login.enter", "pages.login.follow")  # without a session


class Sessions(SecureCookieSessionInterface):
    """Flask's signed cookie; if it was set over HTTPS, browsers send it only over HTTPS."""

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether the request came over HTTPS, to us or to a trusted proxy."""
        return request.is_secure


def install(app: Flask, settings: Settings) -> None:
    """Set up the application's sessions."""
    app.secret_key = signing_key(settings)
    app.session_interface = Sessions()
    app.config.update(
        SESSION_COOKIE_NAME="smartcrm",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",  # links from e-mails work; cross-site posts have no cookie
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=LASTS,
    )


def signing_key(settings: Settings) -> bytes:
    """The key of sessions and of links that log in."""
    tokens = "\0".join(sorted((*settings.api_tokens, *(f"{token}:read" for token in settings.read_tokens))))
    return hmac.digest(tokens.encode(), b"smartcrm page sessions", hashlib.sha256)


def begin(role: str) -> None:
    """Begin a session with the role `read` or `operate`."""
    session.clear()
    session.permanent = True
    session["role"] = role


def role() -> str | None:
    """The visitor's role; None without a session."""
    found = session.get("role")
    return found if found in ("read", "operate") else None


def form_token() -> str:
    """The token that each form of this session must send."""
    if "form" not in session:
        session["form"] = secrets.token_urlsafe(16)
    return str(session["form"])


def require() -> Response | None:
    """Redirect visitors without a session to the login; refuse forged posts and posts that the role does not allow.

    Raises
    ------
    Problem
        403.
    """
    if request.method == "POST":
        _check_form()
    if request.endpoint in OPEN:
        return None
    if role() is None:
        wanted = request.full_path.rstrip("?") if request.method == "GET" else "/"
        return redirect(url_for("pages.login.show", next=wanted))
    if request.method == "POST" and role() != "operate" and request.endpoint not in READING_POSTS:
        raise Problem(403, "read_only_token", "This token may only read; it can't request runs.")
    return None


def _check_form() -> None:
    brought, known = request.form.get("form", ""), str(session.get("form", ""))
    if not known or not hmac.compare_digest(brought.encode(), known.encode()):
        raise Problem(403, "form_expired", "This form is no longer valid. Load the page again and repeat the step.")


def inner_path(wanted: str) -> str:
    """The path to open after the login, if it is on this server, else the first page."""
    parts = urlsplit(wanted)
    plain = wanted.isprintable() and "\\" not in wanted and wanted.startswith("/") and not wanted.startswith("//")
    return wanted if plain and not parts.scheme and not parts.netloc else "/"
