"""`/rfm_segments` and `/segment_changes`: customers, page by page or one with the reason, and who moved."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Self
from uuid import UUID

from flask import Blueprint, Response
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)
from sqlalchemy.orm import Session

from kinds.rfm import results
from kinds.rfm.ties import warnings
from store.published import PublishedState
from webhook.access import authorize
from webhook.changes import SegmentChange
from webhook.cut_points import CutPoints
from webhook.described import described, query
from webhook.models import PLAIN, Limit
from webhook.problems import Problem
from webhook.reading import read

blueprint = Blueprint("segments", __name__)
blueprint.before_request(authorize)


class SegmentsQuery(BaseModel):
    """Which customers to list, and from where on; or one customer, by the id."""

    segment: Annotated[str, Field(max_length=256, pattern=PLAIN)] | None = Field(
        default=None, description="A segment's name, in any case."
    )
    mobile_id: Annotated[str, Field(pattern=PLAIN)] | None = Field(
        default=None, description="One customer, as by the path: for an id that is `summary`, and any other."
    )
    limit: Limit = 100
    cursor: Annotated[str, Field(max_length=4096)] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )

    @model_validator(mode="after")
    def _one_or_many(self) -> Self:
        if self.mobile_id is not None and (self.segment is not None or self.cursor is not None):
            raise ValueError("mobile_id can't be given with segment or cursor")
        return self


class Customer(BaseModel):
    """A row of `rfm_segments`."""

    model_config = ConfigDict(from_attributes=True)

    mobile_id: str
    recency_days: int
    frequency: int
    monetary: Decimal = Field(description="With two decimals, as text, so that nothing is lost.")
    r_score: int
    f_score: int
    m_score: int
    rfm_score: str
    segment: str
    run_id: UUID = Field(description="The run that last wrote the row.")
    computed_at: datetime


class CustomerPage(BaseModel):
    """Customers in order of their ids."""

    run_id: UUID = Field(description="The run that this page was read from.")
    as_of: datetime
    segments: list[Customer]
    next_cursor: str | None


class ExplainedCustomer(Customer):
    """A customer with the reason for the segment: what the values were held against, and the last move."""

    published_run_id: UUID
    as_of: datetime
    monetary_scored: Decimal = Field(description="What M scores: `monetary`, or the average per purchase, in cents.")
    cut_points: CutPoints
    last_change: SegmentChange | None = Field(description="null: never since the first published run, or long ago.")


class SegmentSummary(BaseModel):
    """A segment in numbers."""

    model_config = ConfigDict(from_attributes=True)

    segment: str
    customers: int
    share: float
    revenue_share: float | None = Field(description="null where there is no revenue above zero.")
    median_recency_days: float
    median_frequency: float
    median_monetary: float


class Summary(BaseModel):
    """All segments, largest first."""

    run_id: UUID
    as_of: datetime
    customers: int
    cut_points: CutPoints
    warnings: list[str] = Field(description="What to know of the segments, each with what to do about it.")
    segments: list[SegmentSummary]


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
            warnings=warnings(session, state),
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
        moved, cut_points = (
            results.last_change_of(session, mobile_id),
            CutPoints.of(results.cut_points(state)),
        )
        visits = row.frequency if cut_points.monetary_measure == "average" else 1
        return ExplainedCustomer(
            **Customer.model_validate(row).model_dump(),
            published_run_id=state.run.run_id,
            as_of=state.as_of,
            monetary_scored=(row.monetary / visits).quantize(row.monetary, ROUND_HALF_UP),
            cut_points=cut_points,
            last_change=None if moved is None else SegmentChange.of(moved),
        )

    return read("rfm", answer)
