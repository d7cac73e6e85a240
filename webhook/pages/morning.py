"""Morning: the last complete day beside earlier ones, what has moved, and what is expected of today and the week.

`gather` has the page's data, for the page itself and for whatever shows it elsewhere: it needs no request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from flask import Blueprint, current_app
from markupsafe import Markup
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kinds import requests
from kinds.trends import results, tables
from kinds.trends.results import Wanted
from settings import Settings
from store import runs
from store.published import PublishedState, published
from webhook.described import query
from webhook.pages import lines
from webhook.pages.frame import page, read, words
from webhook.pages.freshness import Freshness, freshness
from webhook.pages.moves import Sentence, last_complete, sentences
from webhook.pages.names import BESIDE, METRICS
from webhook.pages.periods import PERIODS, PeriodQuery
from webhook.pages.words import Words

SHOWN = ("orders", "revenue", "known_customers", "new_customers", "average_ticket")
IN_MONEY = ("revenue", "average_ticket")
WEEK = 7  # forecast days
FEW = 30  # orders; percentages of fewer are unreliable

blueprint = Blueprint("morning", __name__)


@dataclass(frozen=True)
class Figure:
    """A total of a day beside earlier ones, and the days up to it."""

    metric: str
    compared: tables.Comparison
    days: Sequence[tuple[date, float | None]]

    @property
    def name(self) -> str:
        """In English; the catalogues translate it."""
        return METRICS[self.metric]

    @property
    def is_money(self) -> bool:
        """Whether it is an amount."""
        return self.metric in IN_MONEY

    @property
    def beside(self) -> list[tuple[str, float | None]]:
        """What it is compared with, by name."""
        found = self.compared
        values = (found.weeks[0].value, found.mean, found.year_ago.value)
        return list(zip(BESIDE, values, strict=True))

    @property
    def beside_so_far(self) -> list[tuple[str, float | None]]:
        """The same up to the hour until which the day is known."""
        found = self.compared
        values = (found.weeks[0].so_far, found.mean_so_far, found.year_ago.so_far)
        return list(zip(BESIDE, values, strict=True))

    def sparkline(self, write: Words) -> Markup:
        """The days as a line."""
        known = [value for _, value in self.days if value is not None]
        if len(known) < 2:
            return Markup()
        values = {"name": write.text(self.name), "days": write.number(len(self.days))}
        least, most = (write.amount(end, self.is_money) for end in (min(known), max(known)))
        label = write.text("%(name)s of %(days)s days: from %(least)s to %(most)s", **values, least=least, most=most)
        return lines.sparkline([value for _, value in self.days], label)


@dataclass(frozen=True)
class Forecast:
    """A business day's expected orders and revenue with their ranges: forecast, low, high."""

    business_date: date
    orders: tuple[float, float, float]
    revenue: tuple[float, float, float] | None


@dataclass(frozen=True)
class Morning:
    """What the page shows. `trends` is None where no trends are published; `day` where no day is complete."""

    trends: PublishedState | None
    fresh: Freshness
    day: date | None
    figures: list[Figure]
    so_far: list[Figure]
    sentences: list[Sentence]
    forecasts: list[Forecast]
    days: int
    needed_days: int
    known_days: int

    @property
    def few(self) -> bool:
        """Whether the day had so few orders that percentages say little."""
        return any(figure.metric == "orders" and (figure.compared.today.value or 0) < FEW for figure in self.figures)

    @property
    def week(self) -> tuple[list[float], list[float]]:
        """The sums of the forecast days: orders and revenue, each with both ends of their ranges added up."""
        of_orders = [sum(day.orders[end] for day in self.forecasts) for end in range(3)]
        return of_orders, [sum(day.revenue[end] for day in self.forecasts if day.revenue) for end in range(3)]

    def table(self, write: Words) -> list[tuple[str, list[str]]]:
        """The figures' days, latest first, each with its values in words.

        Made here, as a template takes twice the time for the thousands of cells of a year.
        """
        columns = [[write.amount(value, figure.is_money) for _, value in figure.days] for figure in self.figures]
        days = [write.day(day) for day, _ in self.figures[0].days]
        rows = zip(days, zip(*columns, strict=True), strict=True)
        return [(day, list(values)) for day, values in rows][::-1]

    def picture(self, write: Words) -> Markup:
        """The forecast orders of each day."""
        bars = [
            lines.Ahead(
                name=write.short_weekday(each.business_date),
                value=each.orders[0],
                low=each.orders[1],
                high=each.orders[2],
                text=write.whole(each.orders[0]),
                title=f"{write.weekday_and_day(each.business_date)}: {in_range(write, each.orders)}",
            )
            for each in self.forecasts
        ]
        return lines.forecast_bars(bars, write.text("Forecast orders of each day, with the range of four days in five"))


def in_range(write: Words, values: Sequence[float], *, money: bool = False) -> str:
    """A forecast and its range in words."""
    forecast, low, high = (write.whole(value, money=money) for value in values)
    return write.text("%(forecast)s (%(low)s to %(high)s)", forecast=forecast, low=low, high=high)


@blueprint.get("/")
def show() -> Response:
    """The page."""
    settings: Settings = current_app.config["SETTINGS"]
    days = int(query(PeriodQuery).days)

    def build(session: Session) -> Response:
        return page("morning.html", morning=gather(session, settings, words(), days), periods=PERIODS)

    return read(build)


def gather(session: Session, settings: Settings, write: Words, days: int = 28) -> Morning:
    """The page's data, read in the session's snapshot; the figures' lines are of the last `days` complete days."""
    states = {name: published(session, name) for name in requests.computed(session, settings)}
    state = states.get("trends")
    day = last_complete(state) if state else None
    found = [] if state is None or day is None else [_figure(session, state, metric, day, days) for metric in SHOWN]
    return Morning(
        trends=state,
        fresh=freshness(session, states, runs.now(session)),
        day=day,
        figures=found,
        so_far=_so_far(session, state, day) if state else [],
        sentences=sentences(session, write, states),
        forecasts=_forecasts(session, state) if state else [],
        days=days,
        needed_days=results.needs(state, "days") if state else 0,
        known_days=results.complete_days(state) if state else 0,
    )


def _figure(session: Session, state: PublishedState, metric: str, day: date, days: int) -> Figure:
    first = day - timedelta(days=days - 1)
    values = {
        row.business_date: row.value
        for row in results.series(state.generation, Wanted(metric, "", first=first, last=day)).rows(session)
    }
    shown = [first + timedelta(days=number) for number in range(days)]
    compared = tables.compare(session, state, metric, "", day)
    return Figure(metric, compared, [(each, values.get(each)) for each in shown])


def _so_far(session: Session, state: PublishedState, day: date | None) -> list[Figure]:
    """Orders and revenue of the day of `as_of` so far; none where it is complete, or nothing was sold yet."""
    found = [Figure(metric, tables.compare(session, state, metric, ""), []) for metric in ("orders", "revenue")]
    today = found[0].compared.today
    return found if today.business_date != day and today.so_far else []


def _forecasts(session: Session, state: PublishedState) -> list[Forecast]:
    """The week that begins with the first day that is not complete."""
    of_orders, of_revenue = (
        {
            row.business_date: (row.forecast, row.low, row.high)
            for row in results.forecasts(state.generation, Wanted(metric, "", limit=WEEK)).rows(session)
        }
        for metric in ("orders", "revenue")
    )
    return [Forecast(day, orders, of_revenue.get(day)) for day, orders in of_orders.items()]
