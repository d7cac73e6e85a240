"""One item: when it is ordered, its weeks with a forecast, what is ordered with it, and which segments take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any

from flask import Blueprint, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kinds.menu import results as menu
from kinds.menu.results import SoldIn
from kinds.recommendations import items as recommended
from kinds.trends import results as trends
from kinds.trends.results import Wanted
from store.published import PublishedState, published
from webhook.pages import charts, lines
from webhook.pages.frame import page, read, words
from webhook.pages.moves import last_complete
from webhook.problems import Problem

WEEKS = 26
AHEAD = 28  # forecast days
NAMED = 8  # every eighth week has its day and number, which fit beside each other on a phone
TOGETHER = 8
SEGMENTS = 8

blueprint = Blueprint("items", __name__)


@dataclass(frozen=True)
class Week:
    """A week that ends with `last`: its orders, known or forecast, and the added ends of the days' ranges."""

    last: date
    orders: float
    low: float | None = None
    high: float | None = None


@blueprint.get("/menu/items/<int(signed=True):item_id>")
def show(item_id: int) -> Response:
    """The page."""

    def build(session: Session) -> Response:
        state = published(session, "menu")
        item = menu.item(session, state, item_id) if state and abs(item_id) < 2**63 else None
        if state is None or item is None:
            raise Problem(404, "item_not_found", "No such item was sold.")
        labels = {each["daytime_id"]: each["label"] for each in (state.run.plan or {}).get("dayparts", [])}
        sold = menu.sold(session, state, item_id)
        series = published(session, "trends")
        weeks = _weeks(session, series, item_id) if series else []
        recommendations = published(session, "recommendations")
        return page(
            "item.html",
            state=state,
            item=item,
            item_id=item_id,
            labels=labels,
            sold=sold,
            curve=_curve(sold, labels),
            trend=_trend(session, series, item_id) if series else None,
            weeks=weeks,
            line=_line(weeks),
            together=recommended.together(session, recommendations, item_id, TOGETHER) if recommendations else [],
            picks=recommended.picks_of(session, recommendations, item_id)[:SEGMENTS] if recommendations else [],
        )

    return read(build)


def _curve(sold: Sequence[SoldIn], labels: dict[int, str]) -> Markup:
    """The share of each daypart's orders that have the item."""
    write = words()
    cells = []
    for each in sold:
        title = f"{write.own(labels.get(each.daytime_id))}: {write.share(each.share)}, " + write.counted(
            "%(number)s order", "%(number)s orders", each.orders
        )
        link = url_for("pages.menu.show", daytime_id=each.daytime_id)
        cells.append(
            charts.Column(write.own(labels.get(each.daytime_id)), each.share, write.share(each.share), title, link)
        )
    return charts.columns(cells, write.text("Share of each daypart's orders with this item"))


def _trend(session: Session, state: PublishedState, item_id: int) -> Any | None:
    return next(iter(trends.trends(state.generation, Wanted("item_orders", str(item_id))).rows(session)), None)


def _weeks(session: Session, state: PublishedState, item_id: int) -> list[Week]:
    """Whole weeks up to the last complete day, oldest first, and the forecast ones; none without a complete week."""
    last = last_complete(state)
    if last is None:
        return []
    wanted = Wanted("item_orders", str(item_id), first=last - timedelta(days=7 * WEEKS - 1), last=last)
    known: dict[int, float] = {}
    days: dict[int, int] = {}
    for row in trends.series(state.generation, wanted).rows(session):
        week = (last - row.business_date).days // 7
        known[week], days[week] = known.get(week, 0.0) + row.value, days.get(week, 0) + 1
    whole = [
        Week(last - timedelta(days=7 * week), known[week]) for week in sorted(known, reverse=True) if days[week] == 7
    ]
    ahead = trends.forecasts(
        state.generation, Wanted("item_orders", str(item_id), first=last + timedelta(days=1))
    ).rows(session)
    forecast = []
    for week, group in groupby(ahead[:AHEAD], key=lambda row: (row.business_date - last).days // 7):
        each = list(group)
        if len(each) == 7 or week == 0:
            sums = [sum(getattr(row, name) for row in each) for name in ("forecast", "low", "high")]
            forecast.append(Week(each[-1].business_date, *sums))
    return whole + forecast


def _line(weeks: Sequence[Week]) -> Markup:
    write = words()
    bars = [
        lines.Ahead(
            name=write.short_day(week.last) if place % NAMED == 2 else "",
            value=week.orders,
            low=week.low if week.low is not None else week.orders,
            high=week.high if week.high is not None else week.orders,
            text=write.whole(week.orders) if place % NAMED == 2 else "",
            title=f"{write.day(week.last)}: {write.whole(week.orders)}",
            known=week.low is None,
        )
        for place, week in enumerate(weeks)
    ]
    return lines.forecast_bars(bars, write.text("Orders per week, the forecast weeks last"))
