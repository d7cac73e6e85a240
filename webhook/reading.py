"""Reads of published results: one snapshot per answer, and an ETag of the published state."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, current_app, request
from pydantic import BaseModel
from sqlalchemy.orm import Session

from settings import Settings
from store.database import snapshot
from store.published import PublishedState, published
from webhook.described import answered
from webhook.problems import Problem


def read(
    kind: str,
    answer: Callable[[Session, PublishedState], BaseModel],
    *,
    also: str = "",
    conditional: bool = True,
) -> Response:
    """Answer from the published state, or with 304 if the caller has this state already and it is `conditional`.

    `also` is added to the ETag: what the answer depends on besides the state and the URL.

    Raises
    ------
    Problem
        404 before the first run is published.
    """
    settings: Settings = current_app.config["SETTINGS"]
    with snapshot(settings.database_url) as session:
        state = published(session, kind)
        if state is None:
            raise Problem(404, "no_results", f"No {kind} run has been published yet.")
        etag = f"{state.tag}{also and f'-{also}'}"
        known = conditional and request.if_none_match.contains(etag)
        response = Response(status=304) if known else answered(answer(session, state))
    response.set_etag(etag)
    response.headers["Cache-Control"] = "private, no-cache"
    return response
