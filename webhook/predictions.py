"""`/predictions`: whether customers order again, when, and for how much."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from flask import Blueprint, Response, current_app
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.orm import Session

from kinds.predictions import results
from kinds.rfm import results as rfm_results
from settings import Settings
from store.database import snapshot
from store.published import PublishedState, published
from webhook.access import authorize
from webhook.cursors import closed, opened
from webhook.described import described, query
from webhook.models import PLAIN, Limit, TooLittleData
from webhook.problems import Problem
from webhook.reading import read

blueprint = Blueprint("predictions", __name__)
blueprint.before_request(authorize)

KIND = "predictions"
Probability = Annotated[float, Field(ge=0, le=1)]


class PredictionsFilter(BaseModel):
    """Which customers."""

    min_p_order_90d: Probability | None = None
    max_p_order_90d: Probability | None = None
    overdue: bool | None = Field(default=None, description="Only overdue customers, or only those who are not.")
    segment: Annotated[str, Field(max_length=256, pattern=PLAIN)] | None = Field(
        default=None, description="A segment's name, in any case."
    )

    def wanted(self, session: Session) -> results.Filter:
        """The same for kinds/predictions, with the segment's name as the published map spells it."""
        return results.Filter(self.min_p_order_90d, self.max_p_order_90d, self.overdue, _segment(session, self.segment))


class PredictionsQuery(PredictionsFilter):
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
        others = (self.min_p_order_90d, self.max_p_order_90d, self.overdue, self.segment, self.cursor)
        if self.mobile_id is not None and any(other is not None for other in others):
            raise ValueError("mobile_id can't be given with a filter or cursor")
        return self


class Prediction(BaseModel):
    """A row of `customer_predictions`."""

    model_config = ConfigDict(from_attributes=True)

    mobile_id: str
    p_alive: float = Field(description="The probability of still being a customer.")
    p_order_30d: float
    p_order_90d: float = Field(description="The probability of an order within 90 days: rank by this one.")
    expected_orders_90d: float = Field(description="Business days with a purchase.")
    expected_value_90d: Decimal = Field(description="With two decimals, as text, so that it is exact.")
    next_order_from: date | None = Field(description="The 10 % quantile; null if `p_order_90d` is below 0.2.")
    next_order_median: date | None
    next_order_to: date | None = Field(description="The 90 % quantile.")
    overdue_since: date | None = Field(description="By the customer's usual intervals; null: not overdue.")
    model_version: int
    run_id: UUID = Field(description="The run that last wrote the row.")
    computed_at: datetime


class LastMonth(BaseModel):
    """The model's expectation for the last thirty days, and the actual numbers."""

    customers: int
    predicted: float = Field(description="Customers expected to order.")
    actual: int
    predicted_to_actual: float | None
    calibration_error: float


class PredictionPage(BaseModel):
    """Customers in order of their ids."""

    run_id: UUID = Field(description="The run that this page was read from.")
    as_of: datetime
    predictions: list[Prediction]
    next_cursor: str | None


class History(BaseModel):
    """The history that a prediction depends on, in business days."""

    x: int = Field(description="Number of days with a purchase after the first one.")
    t_x: int = Field(description="Days from the first to the last purchase.")
    T: int = Field(description="Days from the first purchase until today.")


class ExplainedPrediction(Prediction):
    """A customer's prediction with the history behind it."""

    published_run_id: UUID
    as_of: datetime
    history: History
    segment: str | None = Field(description="The published segment; null if the customer has none.")


class SegmentPredictions(BaseModel):
    """Expected orders of a segment."""

    model_config = ConfigDict(from_attributes=True)

    segment: str | None = Field(description="null: all customers.")
    customers: int
    overdue: int = Field(description="Overdue customers, by their usual intervals.")
    mean_p_order_90d: float
    expected_orders_90d: float
    expected_value_90d: Decimal


class PredictionSummary(BaseModel):
    """All customers first, then each segment, largest first.

    The model has no yearly season: before and after a peak all levels are off; `last_month` shows by how much.
    """

    run_id: UUID
    as_of: datetime
    season_unknown: Literal[True] = True
    last_month: LastMonth | None
    segments: list[SegmentPredictions]


@blueprint.get("/predictions")
@described(
    answer=(PredictionPage, ExplainedPrediction, TooLittleData), query=PredictionsQuery, problems=(404,), cached=True
)
def predictions() -> Response:
    """Customers in order of their ids, all or filtered; or the customer with a given id."""
    params = query(PredictionsQuery)
    if params.mobile_id is not None:
        return one_prediction(params.mobile_id)
    after = opened(params.cursor) if params.cursor else None

    def answer(session: Session, state: PublishedState) -> BaseModel:
        rows = results.predictions(session, params.wanted(session), after=after, limit=params.limit + 1)
        page = [Prediction.model_validate(row) for row in rows[: params.limit]]
        return PredictionPage(
            run_id=state.run.run_id,
            as_of=state.as_of,
            predictions=page,
            next_cursor=closed(page[-1].mobile_id) if len(rows) > params.limit else None,
        )

    return read(KIND, _if_enough(answer), also=_segments_tag() if params.segment else "")


@blueprint.get("/predictions/summary")
@described(answer=(PredictionSummary, TooLittleData), problems=(404,), cached=True)
def prediction_summary() -> Response:
    """Expected orders and overdue customers per segment, and the expectation for the last month compared with it."""

    def answer(session: Session, state: PublishedState) -> BaseModel:
        last = results.last_month(session, state)
        return PredictionSummary(
            run_id=state.run.run_id,
            as_of=state.as_of,
            last_month=None if last is None else LastMonth.model_validate(last),
            segments=[SegmentPredictions.model_validate(row) for row in results.by_segment(session)],
        )

    return read(KIND, _if_enough(answer), also=_segments_tag())


@blueprint.get("/predictions/<path:mobile_id>")
@described(answer=(ExplainedPrediction, TooLittleData), problems=(404,), cached=True)
def one_prediction(mobile_id: str) -> Response:
    """One customer's prediction, and the history behind it."""

    def answer(session: Session, state: PublishedState) -> BaseModel:
        row = None if "\x00" in mobile_id else results.customer(session, state, mobile_id)
        if row is None:
            raise Problem(404, "customer_not_found", "There is no such customer with a purchase.")
        return ExplainedPrediction(
            **Prediction.model_validate(row).model_dump(),
            published_run_id=state.run.run_id,
            as_of=state.as_of,
            history=History(x=row.x, t_x=row.t_x, T=row.seen),
            segment=row.segment,
        )

    return read(KIND, _if_enough(answer), also=_segments_tag())


def _if_enough(answer: Any) -> Any:
    """Wrap `answer` to return TooLittleData if there is too little data."""

    def enough(session: Session, state: PublishedState) -> BaseModel:
        lacking = results.too_little_data(state)
        found: BaseModel = answer(session, state) if lacking is None else TooLittleData(**lacking)
        return found

    return enough


def _segment(session: Session, wanted: str | None) -> str | None:
    if wanted is None:
        return None
    state = published(session, "rfm")
    names = [] if state is None else rfm_results.segment_names(state)
    found = rfm_results.segment_named(names, wanted)
    if found is None:
        known = f"there are {', '.join(names)}" if names else "none are published"
        raise Problem(422, "unknown_segment", f"There is no segment of that name; {known}.")
    return found


def _segments_tag() -> str:
    """The tag of the published segments, which the answer depends on as well."""
    settings: Settings = current_app.config["SETTINGS"]
    with snapshot(settings.database_url) as session:
        state = published(session, "rfm")
    return "" if state is None else state.tag
