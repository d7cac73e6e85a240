"""`/trends`, `/forecasts` and `/series`: how orders, revenue, items and customers move; long, since the models of
all answers stand beside their views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from kinds.trends import results
from kinds.trends.results import After, Wanted
from store.published import PublishedState
from webhook.access import authorize
from webhook.cursors import closed, opened
from webhook.described import described, query
from webhook.models import PLAIN, Limit
from webhook.problems import Problem
from webhook.reading import read

blueprint = Blueprint("trends", __name__)
blueprint.before_request(authorize)

Metric = Literal[
    "orders",
    "revenue",
    "guest_orders",
    "known_customers",
    "new_customers",
    "returning_customers",
    "average_ticket",
    "item_orders",
    "item_revenue",
    "item_daypart_orders",
    "category_orders",
    "category_revenue",
    "daypart_orders",
    "daypart_revenue",
    "segment_customers",
    "segment_revenue",
]
Dimension = Annotated[str, Field(max_length=1024, pattern=PLAIN)]
Direction = Literal["rising", "falling", "steady", "too_little_data"]
Status = Literal["ok", "too_little_data"]


class SeriesFilter(BaseModel):
    """Which series."""

    metric: Metric | None = None
    dimension: Dimension | None = Field(
        default=None, description="An item's or daypart's id, `item:daypart`, a category or a segment."
    )

    def wanted(self) -> Wanted:
        """The same for kinds/trends."""
        return Wanted(self.metric, self.dimension)


class SeriesRange(SeriesFilter):
    """Which series, over which business dates."""

    from_: date | None = Field(default=None, alias="from")
    to: date | None = None

    def wanted(self) -> Wanted:
        """The same for kinds/trends."""
        return Wanted(self.metric, self.dimension, self.from_, self.to)


class TrendsFilter(SeriesFilter):
    """Which trends."""

    direction: Direction | None = None


class _Page(BaseModel):
    limit: Limit = 1000
    cursor: Annotated[str, Field(max_length=4096)] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )

    def of(self, wanted: Wanted) -> Wanted:
        """The rows of this page, and one more where there are more."""
        return replace(wanted, after=_after(self.cursor), limit=self.limit + 1)


class TrendsQuery(TrendsFilter, _Page):
    """Which trends to list, and from where on."""


class ForecastsQuery(SeriesFilter, _Page):
    """Which forecasts to list, and from where on."""


class SeriesQuery(SeriesRange, _Page):
    """Which series to list, over which business dates, and from where on."""


class _Series(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    metric: Metric
    dimension: str = Field(description="Empty for totals.")
    name: str | None = Field(description="What people call the dimension.")


class Trend(_Series):
    """How a series moved over its last weeks, found over all series together, so that few are called so by chance."""

    direction: Direction
    change: float | None = Field(description="A fraction, over the weeks.")
    p_value: float | None
    q_value: float | None
    weeks: int = Field(description="Complete weeks that were looked at.")
    season_unknown: bool = Field(description="Less than two years are known, so a yearly season may look like a trend.")
    anomaly: bool = Field(description="The last complete day was far from what was expected the day before.")


class Forecast(_Series):
    """A business day's forecast, and the range that four of five days should lie in."""

    business_date: date
    forecast: float
    low: float
    high: float
    method: Literal["blend", "weekday_median", "seasonal_naive", "closed"] = Field(
        description="`closed`: nothing was sold on this weekday for eight weeks."
    )


class Point(_Series):
    """A business day's value."""

    business_date: date
    value: float


class _Answer(BaseModel):
    run_id: UUID = Field(description="The run that this page was read from.")
    as_of: datetime
    status: Status = "ok"
    needs: dict[str, int] | None = Field(default=None, description="With `too_little_data`: what is needed.")
    has: dict[str, int] | None = Field(default=None, description="With `too_little_data`: what there is.")
    closed: str = Field(description="Which days were treated as closed, and so as no zeros of demand.")
    next_cursor: str | None = None


class TrendPage(_Answer):
    """Trends in order of metrics and dimensions."""

    trends: list[Trend]


class ForecastPage(_Answer):
    """Forecasts in order of metrics, dimensions and dates."""

    forecasts: list[Forecast]


class SeriesPage(_Answer):
    """Values in order of metrics, dimensions and dates."""

    series: list[Point]


@blueprint.get("/trends")
@described(answer=TrendPage, query=TrendsQuery, problems=(404,), cached=True)
def trends() -> Response:
    """Which series rise, fall or are steady."""
    params = query(TrendsQuery)
    wanted = params.of(params.wanted())

    def answer(session: Session, state: PublishedState) -> TrendPage:
        rows = results.trends(state.generation, wanted, params.direction).rows(session)
        shown = [Trend.model_validate(row) for row in rows[: params.limit]]
        little = all(row.direction == "too_little_data" for row in shown)
        has = max((row.weeks for row in shown), default=results.complete_days(state) // 7)
        needs = results.needs(state, "weeks")
        return TrendPage(
            **_page(state, _next(rows, params.limit)),
            **_little(little and has < needs, "weeks", needs, has),
            trends=shown,
        )

    return read("trends", answer)


@blueprint.get("/forecasts")
@described(answer=ForecastPage, query=ForecastsQuery, problems=(404,), cached=True)
def forecasts() -> Response:
    """Forecasts of the days from the first one that is not complete."""
    params = query(ForecastsQuery)
    wanted = params.of(params.wanted())

    def answer(session: Session, state: PublishedState) -> ForecastPage:
        rows = results.forecasts(state.generation, wanted).rows(session)
        has, needs = results.days_of(session, state, wanted), results.needs(state, "days")
        return ForecastPage(
            **_page(state, _next(rows, params.limit)),
            **_little(not rows and wanted.after is None and has < needs, "days", needs, has),
            forecasts=[Forecast.model_validate(row) for row in rows[: params.limit]],
        )

    return read("trends", answer)


@blueprint.get("/series")
@described(answer=SeriesPage, query=SeriesQuery, problems=(404,), cached=True)
def series() -> Response:
    """Values by business date."""
    params = query(SeriesQuery)
    wanted = params.of(params.wanted())

    def answer(session: Session, state: PublishedState) -> SeriesPage:
        rows = results.series(state.generation, wanted).rows(session)
        return SeriesPage(
            **_page(state, _next(rows, params.limit)),
            **_little(results.complete_days(state) == 0 and not rows, "days", 1, 0),
            series=[Point.model_validate(row) for row in rows[: params.limit]],
        )

    return read("trends", answer)


def _page(state: PublishedState, next_cursor: str | None) -> dict[str, Any]:
    return {
        "run_id": state.run.run_id,
        "as_of": state.as_of,
        "closed": results.closed(state),
        "next_cursor": next_cursor,
    }


def _little(little: bool, unit: str, needs: int, has: int) -> dict[str, Any]:
    return {"status": "too_little_data", "needs": {unit: needs}, "has": {unit: has}} if little else {}


def _next(rows: Sequence[Any], limit: int) -> str | None:
    """The cursor of the page that follows, where there is one."""
    if len(rows) <= limit:
        return None
    last = rows[limit - 1]
    day = last.business_date.isoformat() if "business_date" in last._fields else date.min.isoformat()
    return closed(f"{last.metric} {day} {last.dimension}")


def _after(cursor: str | None) -> After | None:
    if cursor is None:
        return None
    metric, day, dimension = (*opened(cursor).split(" ", 2), "", "")[:3]
    try:
        return metric, dimension, date.fromisoformat(day)
    except ValueError:
        raise Problem(422, "invalid_cursor", "This is not the next_cursor of a page.") from None
