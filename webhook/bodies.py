"""Reading a request's body, unchanged and completely."""

from __future__ import annotations

from flask import request

from webhook.problems import Problem


def received() -> bytes:
    """The body's bytes, as they were signed.

    Raises
    ------
    Problem
        415 for a compressed body, 400 for one that is shorter than its Content-Length, 501 for a Transfer-Encoding
        other than chunked.
    """
    if request.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise Problem(501, "unsupported_transfer_coding", "The only supported Transfer-Encoding is chunked.")
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        detail = "Send the body without Content-Encoding; compressed bodies are not supported."
        raise Problem(415, "unsupported_media_type", detail, {"Accept-Encoding": "identity"})
    data = request.get_data()
    if request.content_length is not None and len(data) < request.content_length:
        raise Problem(400, "bad_request", "The body is shorter than its Content-Length.")
    return data
