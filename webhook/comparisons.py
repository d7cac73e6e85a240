"""`/series/hours`, `/series/compare`, `/cohorts`: hours of the week, a day beside earlier ones, and who came again."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field, RootModel
from sqlalchemy.orm import Session

from kinds.trends import tables
from store.published import PublishedState
from webhook.access import authorize
from webhook.described import described, query
from webhook.reading import read
from webhook.remembered import remembered
from webhook.trends import Dimension, Metric

blueprint = Blueprint("comparisons", __name__)
blueprint.before_request(authorize)


class HoursQuery(BaseModel):
    """Over how many business days, up to the last one with an order."""

    days: Annotated[int, Field(ge=1, le=36500)] = 28


class CompareQuery(BaseModel):
    """Which series, without a dimension that of all orders; and which business day, by default today so far."""

    metric: Metric = "orders"
    dimension: Dimension = ""
    day: date | None = Field(
        default=None, alias="date", description="A business day; `today` in the answer is then this one."
    )


class Hour(BaseModel):
    """An hour of the week, in local time."""

    model_config = ConfigDict(from_attributes=True)

    weekday: int = Field(description="1 is Monday.")
    hour: int
    orders: int
    revenue: float


class Hours(RootModel[list[Hour]]):
    """All hours of the week."""


class ComparedDay(BaseModel):
    """A business day's value; null where it is not known."""

    model_config = ConfigDict(from_attributes=True)

    business_date: date
    value: float | None = Field(description="Of the whole day, or of today as far as it is known.")
    so_far: float | None = Field(description="Up to the full hour `until`.")


class FourWeeks(BaseModel):
    """The mean over the same weekday of the last four weeks; null where one of them is not known."""

    value: float | None
    so_far: float | None


class Comparison(BaseModel):
    """Today so far beside the same weekday a week ago, in the mean of four weeks, and a year (52 weeks) ago."""

    run_id: UUID
    as_of: datetime
    metric: Metric
    dimension: str
    until: int | None = Field(description="The full hour; null for what is known by the day alone.")
    today: ComparedDay
    last_week: ComparedDay
    four_weeks: FourWeeks
    year_ago: ComparedDay


class CohortMonth(BaseModel):
    """A month of a cohort."""

    months_since: int
    customers: int = Field(description="Of the cohort, with a purchase in that month.")
    share: float
    revenue: float = Field(description="All amounts of the cohort in that month, refunds included.")
    revenue_per_customer: float = Field(description="Of the whole cohort.")


class Cohort(BaseModel):
    """Customers whose first purchase was in this month."""

    month: str = Field(examples=["2026-03"])
    customers: int
    months: list[CohortMonth]


class Cohorts(BaseModel):
    """All cohorts, oldest first."""

    run_id: UUID
    as_of: datetime
    cohorts: list[Cohort]


@blueprint.get("/series/hours")
@described(answer=Hours, query=HoursQuery, problems=(404,), cached=True)
def hours() -> Response:
    """Orders and revenue by weekday and hour of the local clock."""
    params = query(HoursQuery)

    def answer(session: Session, state: PublishedState) -> Hours:
        return Hours([Hour.model_validate(row) for row in tables.hours(session, state, params.days)])

    return read("trends", answer)


@blueprint.get("/series/compare")
@described(answer=Comparison, query=CompareQuery, problems=(404,), cached=True)
def compare() -> Response:
    """Today so far beside the same weekday of earlier weeks and of last year."""
    params = query(CompareQuery)

    def answer(session: Session, state: PublishedState) -> Comparison:
        found = tables.compare(session, state, params.metric, params.dimension, params.day)
        return Comparison(
            run_id=state.run.run_id,
            as_of=state.as_of,
            metric=params.metric,
            dimension=params.dimension,
            until=found.until,
            today=ComparedDay.model_validate(found.today),
            last_week=ComparedDay.model_validate(found.weeks[0]),
            four_weeks=FourWeeks(value=found.mean, so_far=found.mean_so_far),
            year_ago=ComparedDay.model_validate(found.year_ago),
        )

    return read("trends", answer)


@blueprint.get("/cohorts")
@described(answer=Cohorts, problems=(404,), cached=True)
def cohorts() -> Response:
    """Customers by month of their first purchase, and how many of them came in each month since."""

    def answer(session: Session, state: PublishedState) -> Cohorts:
        found: dict[date, list[tables.CohortMonth]] = {}
        for row in cohorts_of(session, state):
            found.setdefault(row.cohort, []).append(row)
        return Cohorts(
            run_id=state.run.run_id,
            as_of=state.as_of,
            cohorts=[
                Cohort(month=f"{month:%Y-%m}", customers=rows[0].size, months=[_month(row) for row in rows])
                for month, rows in found.items()
            ],
        )

    return read("trends", answer)


def cohorts_of(session: Session, state: PublishedState) -> list[tables.CohortMonth]:
    """Every cohort's months of a published state, which are summed from its days once."""
    return remembered("cohorts", state, lambda: tables.cohorts(session, state.generation))


def _month(row: tables.CohortMonth) -> CohortMonth:
    return CohortMonth(
        months_since=row.months_since,
        customers=row.customers,
        share=row.customers / row.size,
        revenue=row.cents / 100,
        revenue_per_customer=row.cents / 100 / row.size,
    )
