"""Menu: the ranking of the current daypart, or of another one, all dayparts side by side, and the busy hours."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

from flask import Blueprint, current_app, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kinds.menu import results
from kinds.menu.results import RankedDaypart
from kinds.trends import results as trends
from kinds.trends.results import Wanted
from settings import Settings
from store.published import PublishedState, published
from webhook.described import query
from webhook.menu import DaypartQuery, clock
from webhook.pages import hours, pictures
from webhook.pages.frame import page, read, words
from webhook.pages.names import DIRECTIONS
from webhook.pages.periods import PERIODS, PeriodQuery
from webhook.problems import Problem

FEW = 30  # orders; shares of fewer are unreliable
BEST = 5  # items of each daypart in the grid

blueprint = Blueprint("menu", __name__)


class MenuPageQuery(DaypartQuery, PeriodQuery):
    """Which daypart to show, of which days, and over which period the busy hours."""


@blueprint.get("/menu")
def show() -> Response:
    """A daypart's ranking: the current one, or the one with an id or at a time of day; and the best of all."""
    params = query(MenuPageQuery)
    settings: Settings = current_app.config["SETTINGS"]

    def build(session: Session) -> Response:
        state = published(session, "menu")
        if state is None:
            return page("menu.html", state=None)
        dayparts = results.menu(session, day=params.day)
        at = clock(params.at or "now", settings.timezone)
        chosen = _chosen(dayparts, params.daytime_id, at)
        series = published(session, "trends")
        busy = hours.hours(session, series, int(params.days)) if series else {}
        kept = {"daytime_id": params.daytime_id, "at": params.at, "day": params.day}
        return page(
            "menu.html",
            state=state,
            kept={name: value for name, value in kept.items() if value is not None},
            compared=any(item.previous_rank is not None for each in dayparts for item in each.items),
            trends=_trends(session, series) if series else {},
            arrows=DIRECTIONS,
            busy=busy,
            busy_map=hours.heat_map(busy) if busy else Markup(),
            periods=PERIODS,
            params=params,
            dayparts=dayparts,
            at=at,
            now=datetime.now(settings.zone),
            chosen=chosen,
            highest=max((item.share for item in chosen.items), default=0) if chosen else 0,
            few=chosen is not None and bool(chosen.items) and chosen.items[0].orders < FEW,
            grid=_grid(dayparts),
            best=BEST,
            few_orders=FEW,
            days=["weekday", "weekend", *map(str, range(1, 8))],
        )

    return read(build)


def _chosen(dayparts: list[RankedDaypart], daytime_id: int | None, at: time) -> RankedDaypart | None:
    """The daypart with an id, or the one that covers a time of day; None in a gap.

    Raises
    ------
    Problem
        404 if no daypart has this id.
    """
    if daytime_id is None:
        return next((daypart for daypart in dayparts if daypart.covers(at)), None)
    for daypart in dayparts:
        if daypart.daytime_id == daytime_id:
            return daypart
    raise Problem(404, "daypart_not_found", f"There is no daypart {daytime_id}.")


def _trends(session: Session, state: PublishedState) -> dict[str, Any]:
    """Each item's trend over its weeks, by its id."""
    return {row.dimension: row for row in trends.trends(state.generation, Wanted("item_orders")).rows(session)}


def _grid(dayparts: list[RankedDaypart]) -> Markup:
    """Every daypart's best items, coloured by their share of its orders if these are not few."""
    write = words()
    rows = []
    for daypart in dayparts:
        cells = [
            pictures.Cell(
                text=item.menu_item_name or str(item.menu_item_id),
                value=item.share if item.orders >= FEW else 0,
                title=f"{write.own(daypart.label)}, {item.rank}: {item.menu_item_name or item.menu_item_id},"
                f" {write.share(item.share)}",
                link=url_for("pages.menu.show", daytime_id=daypart.daytime_id),
            )
            for item in daypart.items[:BEST]
        ]
        if cells:
            rows.append((daypart.start_time, cells))
    label = write.text("The best items of every daypart, coloured by their share of its orders")
    return pictures.heat_map(rows, [str(rank) for rank in range(1, BEST + 1)], label) if rows else Markup()
