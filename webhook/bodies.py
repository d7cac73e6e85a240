"""A request's body: read once, whole, and as it was sent."""

from __future__ import annotations

from flask import request

from webhook.problems import Problem


def received() -> bytes:
    """The body's bytes, which a signature is about.

    Raises
    ------
    Problem
        415 for a compressed body, 400 for one that is shorter than its Content-Length; 501 for a transfer coding
        beside chunked.
    """
    if request.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise Problem(501, "unsupported_transfer_coding", "The only Transfer-Encoding that is read is chunked.")
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        told = "Send the body as plain JSON, without Content-Encoding: compressed bodies are not read."
        raise Problem(415, "unsupported_media_type", told, {"Accept-Encoding": "identity"})
    data = request.get_data()
    if request.content_length is not None and len(data) < request.content_length:
        raise Problem(400, "bad_request", "The body ended before the length that Content-Length gives.")
    return data
