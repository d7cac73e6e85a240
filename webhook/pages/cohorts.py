"""Cohorts: customers by the month of their first purchase, and how many of them came in each month since."""

from __future__ import annotations

from datetime import date
from typing import Literal

from flask import Blueprint
from pydantic import BaseModel
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kinds.trends.tables import CohortMonth
from store.published import published
from webhook.comparisons import cohorts_of
from webhook.described import query
from webhook.pages import pictures
from webhook.pages.frame import page, read

MONTHS = 12  # columns after the first month
COHORTS = 24  # rows
FEW = 30  # customers; shares of fewer are unreliable

blueprint = Blueprint("cohorts", __name__)


class CohortsQuery(BaseModel):
    """What to show of each month."""

    show: Literal["share", "revenue"] = "share"


@blueprint.get("/views/cohorts")
def show() -> Response:
    """The page."""
    params = query(CohortsQuery)

    def build(session: Session) -> Response:
        state = published(session, "trends")
        found: dict[date, dict[int, CohortMonth]] = {}
        for row in cohorts_of(session, state) if state else []:
            found.setdefault(row.cohort, {})[row.months_since] = row
        shown = dict(sorted(found.items(), reverse=True)[:COHORTS])
        last = date.fromisoformat((state.run.plan or {})["business_date"]) if state else date.min
        values = [
            value(month, params.show)
            for months in shown.values()
            for since, month in months.items()
            if 0 < since <= MONTHS
        ]
        return page(
            "cohorts.html",
            state=state,
            params=params,
            cohorts=shown,
            months=range(min(MONTHS, max((since for months in shown.values() for since in months), default=0)) + 1),
            highest=max(values, default=0),
            value=value,
            shade=pictures.linear_shade,
            few=FEW,
            known=lambda cohort: 12 * (last.year - cohort.year) + last.month - cohort.month,
        )

    return read(build)


def value(month: CohortMonth, shown: str) -> float:
    """The share of the cohort that came in this month, or the cohort's revenue of it per customer, in money."""
    return month.customers / month.size if shown == "share" else month.cents / 100 / month.size
