"""Signed links that log in: whoever opens one may look, for as long as the link is valid.

They are signed with the sessions' key, so removing a token ends them as well.
"""

from __future__ import annotations

from datetime import timedelta

from itsdangerous import BadSignature, URLSafeTimedSerializer

from settings import Settings
from webhook.pages.sessions import inner_path, signing_key

LASTS = timedelta(days=7)


def path(settings: Settings, wanted: str = "/") -> str:
    """The path of a link that logs in to look, and leads to a page; valid for a week."""
    return f"/login/link/{_serializer(settings).dumps(inner_path(wanted))}"


def wanted(settings: Settings, signed: str) -> str | None:
    """The page that a link leads to; None if it is not ours, or too old."""
    try:
        return inner_path(str(_serializer(settings).loads(signed, max_age=int(LASTS.total_seconds()))))
    except BadSignature:
        return None


def _serializer(settings: Settings) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(signing_key(settings), salt="link")
