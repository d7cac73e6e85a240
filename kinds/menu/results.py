"""Reading the published menu: dayparts with their ranked items. Takes no row locks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import time

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from kinds.menu.models import MenuItem, MenuResult
from kinds.menu.weekdays import on_days
from store.published import PublishedState, published
from store.queries import Query, exported

MINUTE = 60_000_000
_SOLD = """
SELECT daytime_id, orders[place]::bigint, cents[place]::bigint, transactions
FROM (SELECT *, array_position(items, CAST(:item AS bigint)) AS place FROM menu_totals
      WHERE generation = :generation) AS t
WHERE place IS NOT NULL ORDER BY daytime_id
"""
COLUMNS = (
    *("daytime_id", "menu_item_id", "rank", "orders", "quantity", "share", "run_id", "created_at"),
    "previous_rank",
)


@dataclass(frozen=True)
class RankedDaypart:
    """A daypart with its ranked items, best first; `windows` as intervals of a day in microseconds."""

    daytime_id: int
    label: str
    windows: list[tuple[int, int]]
    items: list[MenuResult]

    @property
    def start_time(self) -> str:
        """Its first minute, HH:MM."""
        return _minute(self.windows[0][0])

    @property
    def end_time(self) -> str:
        """Its last minute, HH:MM."""
        return _minute(self.windows[-1][1] - MINUTE)

    def covers(self, at: time) -> bool:
        """Whether a time of day lies in it."""
        return any(start <= _microseconds(at) < until for start, until in self.windows)


def _minute(microseconds: int) -> str:
    return f"{microseconds // MINUTE // 60:02}:{microseconds // MINUTE % 60:02}"


def daypart_ids(state: PublishedState) -> list[int]:
    """The published run's dayparts."""
    return [daypart["daytime_id"] for daypart in (state.run.plan or {}).get("dayparts", [])]


def menu(session: Session, at: time | None = None, day: str | None = None) -> list[RankedDaypart]:
    """The published dayparts in order of their ids, or the one that covers a time of day (none in a gap).

    Ranked over all orders, or over those of some weekdays (one of `DAYS`), which are ranked on request from the
    tallies.

    Raises
    ------
    RequestError
        When weekdays are requested and the published run is an older version's, whose tallies don't separate them.
    """
    state = published(session, "menu")
    if state is None or state.run.plan is None:
        return []
    wanted = [
        daypart
        for daypart in state.run.plan["dayparts"]
        if at is None or any(start <= _microseconds(at) < until for start, until in daypart["windows"])
    ]
    ranked: dict[int, list[MenuResult]] = {daypart["daytime_id"]: [] for daypart in wanted}
    for row in _ranked(session, state, list(ranked)) if day is None else on_days(session, state, list(ranked), day):
        ranked[row.daytime_id].append(row)
    return [
        RankedDaypart(
            daypart["daytime_id"],
            daypart["label"],
            [(start, until) for start, until in daypart["windows"]],
            ranked[daypart["daytime_id"]],
        )
        for daypart in wanted
    ]


def export(daytime_id: int | None) -> Query:
    """The published ranks of a daypart, or of all, by daypart and rank."""
    return exported("menu_recommendation", COLUMNS, "daytime_id, rank", {"daytime_id = {}": daytime_id})


def _ranked(session: Session, state: PublishedState, dayparts: Sequence[int]) -> Iterable[MenuResult]:
    return session.scalars(
        select(MenuResult)
        .where(MenuResult.generation == state.generation, MenuResult.daytime_id.in_(dayparts))
        .order_by(MenuResult.daytime_id, MenuResult.rank)
    )


def _microseconds(at: time) -> int:
    return ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000_000 + at.microsecond


@dataclass(frozen=True)
class SoldIn:
    """An item's orders and revenue in a daypart, and the share of the daypart's orders that have it."""

    daytime_id: int
    orders: int
    cents: int
    share: float


def item(session: Session, state: PublishedState, item_id: int) -> MenuItem | None:
    """A counted item's name, category, price and cost; None where it was never sold."""
    return session.get(MenuItem, (state.generation, item_id))


def sold(session: Session, state: PublishedState, item_id: int) -> list[SoldIn]:
    """The dayparts in which an item was sold, by their ids."""
    rows = session.execute(text(_SOLD), {"generation": state.generation, "item": item_id}).all()
    return [SoldIn(daypart, orders, cents, orders / of if of else 0.0) for daypart, orders, cents, of in rows]
