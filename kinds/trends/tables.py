"""Reading published trends as small tables: hours of the week, cohorts, and a day beside earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from kinds.trends.results import Wanted, series
from store.published import PublishedState

CENTS = 100
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Hour:
    """An hour of a weekday (ISO, 1 to 7), in local time."""

    weekday: int
    hour: int
    orders: int
    revenue: float


# 1900-01-01 is a Monday, and no business day is before it; extract(isodow) takes three times as long.
_HOURS = """
SELECT (business_date + later - date '1900-01-01') % 7 + 1, hour, sum(orders)::bigint, sum(cents)::bigint
FROM metric_hour_tallies
WHERE generation = :generation AND business_date > CAST(:last AS date) - :days
GROUP BY 1, 2
"""


def hours(session: Session, state: PublishedState, days: int) -> list[Hour]:
    """All hours of the week: orders and revenue of the last `days` business days, up to the last one with an order."""
    last = (state.run.counts or {}).get("last_date")
    rows = session.execute(text(_HOURS), {"generation": state.generation, "last": last, "days": days}).all()
    sold = {(weekday, hour): (orders, cents) for weekday, hour, orders, cents in rows}
    found = []
    for weekday, hour in product(range(1, 8), range(24)):
        orders, cents = sold.get((weekday, hour), (0, 0))
        found.append(Hour(weekday, hour, orders, cents / CENTS))
    return found


@dataclass(frozen=True)
class CohortMonth:
    """What the customers whose first purchase was in the month `cohort` did so many months later.

    `size` are all of them, `customers` those with a purchase in that month, `cents` all their amounts of it.
    """

    cohort: date
    months_since: int
    size: int
    customers: int
    cents: int


# A cohort's number is its month, counted from 2000-01.
_COHORTS = """
SELECT ('2000-01-01'::date + cohort * interval '1 month')::date,
       months_since, max(customers) FILTER (WHERE months_since = 0) OVER (PARTITION BY cohort), customers, cents
FROM (SELECT cohort::int,
             (12 * (extract(year FROM business_date) - 2000) + extract(month FROM business_date) - 1 - cohort)::int
               AS months_since,
             sum(came)::bigint AS customers, sum(amount)::bigint AS cents
      FROM metric_cohort_tallies, unnest(cohorts, customers, cents) AS counted (cohort, came, amount)
      WHERE generation = :generation GROUP BY 1, 2) AS months
ORDER BY cohort, months_since
"""


def cohorts(session: Session, generation: int) -> list[CohortMonth]:
    """Every cohort's months that have a purchase or a refund, in order."""
    return [CohortMonth(*row) for row in session.execute(text(_COHORTS), {"generation": generation}).all()]


@dataclass(frozen=True)
class Day:
    """A business day's value, and what it was by the same hour of the day; None where it is not known."""

    business_date: date
    value: float | None
    so_far: float | None


@dataclass(frozen=True)
class Comparison:
    """A business day, by default that of `as_of`, beside the same weekday of the four weeks before and a year ago.

    `weeks` begin with the last one. `until` is the full hour up to which all of them are `so_far`, None where a series
    is known by the day alone, and for an earlier day.
    """

    today: Day
    weeks: Sequence[Day]
    year_ago: Day
    until: int | None

    @property
    def mean(self) -> float | None:
        """The mean of the four weeks; None where one of them is not known."""
        return _mean([day.value for day in self.weeks])

    @property
    def mean_so_far(self) -> float | None:
        """The same up to the hour `until`."""
        return _mean([day.so_far for day in self.weeks])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


# A day before or after a series has the value NULL, and is left out.
_VALUES = """
SELECT * FROM (
  SELECT day, (points || last_points)[day - first_date + 1] AS value
  FROM metric_results, unnest(CAST(:dates AS date[])) AS day
  WHERE generation = :generation AND metric = :metric AND dimension = :dimension
) AS found WHERE value <> 'NaN'
"""


def compare(
    session: Session, state: PublishedState, metric: str, dimension: str, day: date | None = None
) -> Comparison:
    """A series' day beside earlier ones: the day of `as_of` so far, or another one."""
    assert state.run.plan is not None
    today = date.fromisoformat(state.run.plan["business_date"])
    local = state.as_of.astimezone(ZoneInfo(state.run.plan["timezone"]))
    shown = today if day is None else day
    dates = [shown, *(shown - number * WEEK for number in (1, 2, 3, 4)), shown - 52 * WEEK]
    wanted = {"generation": state.generation, "metric": metric, "dimension": dimension, "dates": dates}
    values: dict[date, float] = {on: value for on, value in session.execute(text(_VALUES), wanted)}
    counted = metric not in ("average_ticket", "segment_customers", "segment_revenue")
    if shown == today and counted and today not in values:
        in_a_year = Wanted(metric, dimension, first=dates[-1], last=shown, limit=1)
        if values or series(state.generation, in_a_year).rows(session):
            values[today] = 0.0  # nothing was sold yet
    by_hour = shown == today and metric in ("orders", "revenue")
    so_far = _until(session, state.generation, metric, dates, local, today) if by_hour else {}
    days = [Day(day, values.get(day), so_far.get(day) if day in values else None) for day in dates]
    return Comparison(days[0], days[1:5], days[5], local.hour if by_hour else None)


_UNTIL = """
SELECT business_date, sum(orders)::bigint, sum(cents)::bigint FROM metric_hour_tallies
WHERE generation = :generation AND business_date = ANY(:dates) AND (later, hour) < (:later, :hour)
GROUP BY business_date
"""


def _until(
    session: Session, generation: int, metric: str, dates: Sequence[date], local: datetime, today: date
) -> dict[date, float]:
    """What each of these business days had come to by the full hour that `local` shows."""
    values = {"generation": generation, "dates": list(dates), "later": (local.date() - today).days, "hour": local.hour}
    found = dict.fromkeys(dates, 0.0)
    for day, orders, cents in session.execute(text(_UNTIL), values).all():
        found[day] = float(orders) if metric == "orders" else cents / CENTS
    return found
