"""Reading the published menu: dayparts with their ranked items. Never computes, never locks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time

from sqlalchemy import select
from sqlalchemy.orm import Session

from kinds.menu.models import MenuResult
from store.published import published

MINUTE = 60_000_000


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


def _minute(microseconds: int) -> str:
    return f"{microseconds // MINUTE // 60:02}:{microseconds // MINUTE % 60:02}"


def menu(session: Session, at: time | None = None) -> list[RankedDaypart]:
    """The published dayparts in order of their ids, or the one that covers a time of day (none in a gap)."""
    state = published(session, "menu")
    if state is None or state.run.plan is None:
        return []
    wanted = [
        daypart
        for daypart in state.run.plan["dayparts"]
        if at is None or any(start <= _microseconds(at) < until for start, until in daypart["windows"])
    ]
    ids = [daypart["daytime_id"] for daypart in wanted]
    ranked: dict[int, list[MenuResult]] = {daytime_id: [] for daytime_id in ids}
    for row in session.scalars(
        select(MenuResult)
        .where(MenuResult.generation == state.generation, MenuResult.daytime_id.in_(ids))
        .order_by(MenuResult.daytime_id, MenuResult.rank)
    ):
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


def _microseconds(at: time) -> int:
    return ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000_000 + at.microsecond
