"""`/rfm_segments` and `/segment_changes`: customers, page by page or one with the reason, and who moved."""

from __future__ import annotations

import base64
import binascii

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from kinds.rfm import results
from store.published import PublishedState
from webhook.access import authorize
from webhook.described import described, query
from webhook.models import (
    Changes,
    ChangesQuery,
    Customer,
    CustomerPage,
    CutPoints,
    ExplainedCustomer,
    SegmentChange,
    SegmentsQuery,
    SegmentSummary,
    Summary,
)
from webhook.problems import Problem
from webhook.reading import read

blueprint = Blueprint("segments", __name__)
blueprint.before_request(authorize)


@blueprint.get("/rfm_segments")
@described(answer=(CustomerPage, ExplainedCustomer), query=SegmentsQuery, problems=(404,), cached=True)
def customers() -> Response:
    """Customers in order of their ids, of one segment or all; or the one with an id."""
    asked = query(SegmentsQuery)
    if asked.mobile_id is not None:
        return one_customer(asked.mobile_id)
    after = _opened(asked.cursor) if asked.cursor else None

    def answer(session: Session, state: PublishedState) -> CustomerPage:
        segment = None if asked.segment is None else results.segment_named(results.segment_names(state), asked.segment)
        if segment is None and asked.segment is not None:
            known = ", ".join(results.segment_names(state))
            raise Problem(422, "unknown_segment", f"There is no segment of that name; there are {known}.")
        rows = results.segments(session, segment, after=after, limit=asked.limit + 1)
        page = [Customer.model_validate(row) for row in rows[: asked.limit]]
        more = len(rows) > asked.limit
        return CustomerPage(
            run_id=state.run.run_id,
            as_of=state.as_of,
            segments=page,
            next_cursor=_closed(page[-1].mobile_id) if more else None,
        )

    return read("rfm", answer)


def _closed(mobile_id: str) -> str:
    return base64.urlsafe_b64encode(mobile_id.encode()).decode().rstrip("=")


def _opened(cursor: str) -> str:
    try:
        opened = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        opened = "\x00"
    if "\x00" in opened:
        raise Problem(422, "invalid_cursor", "This cursor is none that a page gave.")
    return opened


@blueprint.get("/rfm_segments/summary")
@described(answer=Summary, problems=(404,), cached=True)
def summary() -> Response:
    """Counts and shares per segment, with the cut points used."""

    def answer(session: Session, state: PublishedState) -> Summary:
        rows = results.summary(session)
        return Summary(
            run_id=state.run.run_id,
            as_of=state.as_of,
            customers=sum(row.customers for row in rows),
            cut_points=CutPoints.of(results.cut_points(state)),
            segments=[SegmentSummary.model_validate(row) for row in rows],
        )

    return read("rfm", answer)


@blueprint.get("/rfm_segments/<path:mobile_id>")
@described(answer=ExplainedCustomer, problems=(404,), cached=True)
def one_customer(mobile_id: str) -> Response:
    """One customer: the values, what they were held against, and the last move and its reason."""

    def answer(session: Session, state: PublishedState) -> ExplainedCustomer:
        row = None if "\x00" in mobile_id else results.customer(session, mobile_id)
        if row is None:
            raise Problem(404, "customer_not_found", "There is no such customer with a purchase.")
        moved = results.last_change_of(session, mobile_id)
        return ExplainedCustomer(
            **Customer.model_validate(row).model_dump(),
            published_run_id=state.run.run_id,
            as_of=state.as_of,
            cut_points=CutPoints.of(results.cut_points(state)),
            last_change=None if moved is None else SegmentChange.of(moved),
        )

    return read("rfm", answer)


@blueprint.get("/segment_changes")
@described(answer=Changes, query=ChangesQuery, problems=(404, 410), cached=True)
def segment_changes() -> Response:
    """Who moved, oldest first; a cursor older than what is kept gets 410: read all customers, and begin anew."""
    asked = query(ChangesQuery)

    def answer(session: Session, state: PublishedState) -> Changes:
        told = results.changes_after(session, asked.after, asked.limit + 1)
        if told is None:
            raise Problem(410, "cursor_too_old", "Changes after this one are no longer kept; read all customers anew.")
        page = [SegmentChange.of(change) for change in told[: asked.limit]]
        return Changes(
            changes=page,
            next_after=page[-1].change_id if page else max(asked.after or 0, state.changes_dropped_to),
            has_more=len(told) > asked.limit,
        )

    return read("rfm", answer)
