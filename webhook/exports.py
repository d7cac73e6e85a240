"""`/exports`: filtered lists as streamed CSV, for API tokens and for sessions of the pages."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, stream_with_context

from kinds.rfm import listing
from settings import Settings
from store.database import snapshot
from store.published import published
from webhook.access import authorize
from webhook.described import described, query
from webhook.filters import CustomersFilter
from webhook.pages import sessions
from webhook.problems import Problem

blueprint = Blueprint("exports", __name__)


@blueprint.before_request
def _authorize() -> None:
    if sessions.role() is None:
        authorize()


@blueprint.get("/exports/rfm_segments.csv")
@described(answer=None, query=CustomersFilter, problems=(404,))
def rfm_segments() -> Response:
    """All customers that match a filter, as CSV with a header; columns and values as in `GET /rfm_segments`."""
    settings: Settings = current_app.config["SETTINGS"]
    params = query(CustomersFilter)
    with snapshot(settings.database_url) as session:
        state = published(session, "rfm")
        if state is None:
            raise Problem(404, "no_results", "No rfm run has been published yet.")
        wanted = params.of(state)
        listing.check_sort(session, wanted, params.sort)
    rows = stream_with_context(listing.csv(settings.database_url, wanted, params.sort))
    headers = {"Content-Disposition": "attachment; filename=rfm_segments.csv"}
    return Response(rows, headers=headers, mimetype="text/csv")
