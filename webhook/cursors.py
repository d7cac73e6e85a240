"""Cursors of pages in order of customers' ids: the last id, encoded for URLs."""

from __future__ import annotations

import base64
import binascii

from webhook.problems import Problem


def closed(mobile_id: str) -> str:
    """The cursor for the page after this customer."""
    return base64.urlsafe_b64encode(mobile_id.encode()).decode().rstrip("=")


def opened(cursor: str) -> str:
    """The customer after whom a page starts.

    Raises
    ------
    Problem
        422 when it is not a valid cursor.
    """
    try:
        found = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        found = "\x00"
    if "\x00" in found:
        raise Problem(422, "invalid_cursor", "This cursor is none that a page gave.")
    return found
