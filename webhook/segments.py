"""`/rfm_segments`: customers page by page, one customer with cut points and last change, and the summary."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Self
from uuid import UUID

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.orm import Session

from kinds.rfm import listing, results
from kinds.rfm.ties import warnings
from store.published import PublishedState
from webhook.access import authorize
from webhook.changes import SegmentChange
from webhook.cut_points import CutPoints
from webhook.described import described, query
from webhook.filters import CustomersFilter, from_cursor, to_cursor
from webhook.models import PLAIN, Limit
from webhook.problems import Problem
from webhook.reading import read

blueprint = Blueprint("segments", __name__)
blueprint.before_request(authorize)


class SegmentsQuery(CustomersFilter):
    """Which customers to list, page by page; or one customer, by id."""

    mobile_id: Annotated[str, Field(pattern=PLAIN)] | None = Field(
        default=None, description="One customer, as with the id in the path; also for the id `summary`."
    )
    limit: Limit = 100
    cursor: Annotated[str, Field(max_length=4096)] | None = Field(
        default=None, description="`next_cursor` of the previous page."
    )

    @model_validator(mode="after")
    def _one_or_many(self) -> Self:
        others = (self.segment, self.mobile_id_prefix, self.cluster, self.overdue, self.cursor)
        if self.mobile_id is not None and any(other is not None for other in others):
            raise ValueError("mobile_id can't be given with a filter or cursor")
        return self


class Customer(BaseModel):
    """A row of `rfm_segments`."""

    model_config = ConfigDict(from_attributes=True)

    mobile_id: str
    recency_days: int
    frequency: int
    monetary: Decimal = Field(description="With two decimals, as text, so that it is exact.")
    r_score: int
    f_score: int
    m_score: int
    rfm_score: str
    segment: str
    run_id: UUID = Field(description="The run that last wrote the row.")
    computed_at: datetime
    first_purchase_at: datetime | None = Field(
        description="Within the lookback; null until the first run after an upgrade."
    )


class CustomerPage(BaseModel):
    """Customers in the order that was requested."""

    run_id: UUID = Field(description="The run that this page was read from.")
    as_of: datetime
    segments: list[Customer]
    next_cursor: str | None


class ExplainedCustomer(Customer):
    """A customer with the cut points of the scores and the last change of segment."""

    published_run_id: UUID
    as_of: datetime
    monetary_scored: Decimal = Field(description="What M scores: `monetary`, or the average per purchase, in cents.")
    cut_points: CutPoints
    last_change: SegmentChange | None = Field(description="null: none is stored.")


class SegmentSummary(BaseModel):
    """A segment's size, revenue share and medians."""

    model_config = ConfigDict(from_attributes=True)

    segment: str
    customers: int
    share: float
    revenue_share: float | None = Field(description="null if the total revenue is not above zero.")
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
    """Customers, filtered and sorted, by default all in order of their ids; or the customer with a given id."""
    params = query(SegmentsQuery)
    if params.mobile_id is not None:
        return one_customer(params.mobile_id)
    after = from_cursor(params.cursor, params.sort) if params.cursor else None

    def answer(session: Session, state: PublishedState) -> CustomerPage:
        listed = listing.Listing(session, params.of(state))
        listed.check_sort(params.sort)
        rows = listed.page(params.sort, after=after, limit=params.limit + 1)
        page = [Customer.model_validate(row) for row in rows[: params.limit]]
        more = len(rows) > params.limit
        return CustomerPage(
            run_id=state.run.run_id,
            as_of=state.as_of,
            segments=page,
            next_cursor=to_cursor(listing.position(rows[params.limit - 1], params.sort)) if more else None,
        )

    return read("rfm", answer)


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
    """One customer: values, scores, the cut points behind them, and the last change of segment with its reason."""

    def answer(session: Session, state: PublishedState) -> ExplainedCustomer:
        row = None if "\x00" in mobile_id else results.customer(session, mobile_id)
        if row is None:
            raise Problem(404, "customer_not_found", "There is no such customer with a purchase.")
        change = results.last_change_of(session, mobile_id)
        cut_points = CutPoints.of(results.cut_points(state))
        visits = row.frequency if cut_points.monetary_measure == "average" else 1
        return ExplainedCustomer(
            **Customer.model_validate(row).model_dump(),
            published_run_id=state.run.run_id,
            as_of=state.as_of,
            monetary_scored=(row.monetary / visits).quantize(row.monetary, ROUND_HALF_UP),
            cut_points=cut_points,
            last_change=None if change is None else SegmentChange.of(change),
        )

    return read("rfm", answer)
