"""Orders by hour and weekday, as a heat map: when a restaurant is busy."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from sqlalchemy.orm import Session

from kinds.trends import tables
from kinds.trends.tables import Hour
from store.published import PublishedState
from webhook.pages import pictures
from webhook.pages.frame import words
from webhook.remembered import remembered

WEEKDAYS = range(1, 8)


def hours(session: Session, state: PublishedState, days: int) -> dict[int, list[Hour]]:
    """Per weekday its 24 hours, of the last business days; empty where there was no order."""
    found = remembered(f"hours of {days} days", state, lambda: tables.hours(session, state, days))
    if not any(hour.orders for hour in found):
        return {}
    return {weekday: [hour for hour in found if hour.weekday == weekday] for weekday in WEEKDAYS}


def heat_map(found: dict[int, list[Hour]]) -> Markup:
    """The hours with at least one order on any day, from left to right; weekdays from top to bottom."""
    write = words()
    shown = _shown(list(found.values()))
    rows = [
        (
            write.short_weekday_of(weekday),
            [
                pictures.Cell(
                    text="",
                    value=hour.orders,
                    title=f"{write.weekday(weekday)}, {hour.hour}:00–{hour.hour}:59: "
                    + write.counted("%(number)s order", "%(number)s orders", hour.orders),
                )
                for hour in each
                if hour.hour in shown
            ],
        )
        for weekday, each in found.items()
    ]
    label = write.text("Orders by weekday and hour")
    return pictures.heat_map(rows, [str(hour) for hour in shown], label, left=8)


def _shown(week: Sequence[Sequence[Hour]]) -> list[int]:
    """From the first to the last hour with an order."""
    sold = {hour.hour for day in week for hour in day if hour.orders}
    return list(range(min(sold), max(sold) + 1))
