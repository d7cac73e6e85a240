"""Dayparts: named windows of local time that must not overlap. Gaps are allowed, and so is midnight."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from errors import DaypartsError

MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE


@dataclass(frozen=True)
class Daypart:
    """One window; `start` and `end` in microseconds after midnight, the whole minute of `end` included."""

    daytime_id: int
    label: str
    start: int
    end: int

    @property
    def windows(self) -> list[tuple[int, int]]:
        """The half-open intervals [from, to) of a day that it covers: two if it wraps past midnight."""
        until = (self.end // MINUTE + 1) * MINUTE
        if self.start <= self.end:
            return [(self.start, min(until, DAY))]
        return [(self.start, DAY), (0, until)]


def _clock(text: str) -> int:
    hours, minutes = text.split(":")
    return (int(hours) * 60 + int(minutes)) * MINUTE


DEFAULT_DAYPARTS = [
    Daypart(number, label, _clock(start), _clock(end))
    for number, label, start, end in (
        (1, "Early Breakfast", "04:00", "06:29"),
        (2, "Standard Breakfast", "06:30", "10:29"),
        (3, "Late Breakfast / Brunch", "10:30", "12:29"),
        (4, "Lunch", "12:30", "14:29"),
        (5, "Late Lunch", "14:30", "16:29"),
        (6, "Afternoon Tea / Snack", "16:30", "17:59"),
        (7, "Early Dinner", "18:00", "19:29"),
        (8, "Standard Dinner", "19:30", "21:29"),
        (9, "Late Dinner / Supper", "21:30", "23:59"),
        (10, "Midnight Snack", "00:00", "01:59"),
        (11, "Closed / No Service", "02:00", "03:59"),
    )
]


def check(dayparts: Sequence[Daypart]) -> None:
    """Check that dayparts are distinct and complete.

    Raises
    ------
    DaypartsError
        For a repeated id, a missing time, or two overlapping windows, naming them.
    """
    ids = [daypart.daytime_id for daypart in dayparts]
    for daypart in dayparts:
        if ids.count(daypart.daytime_id) > 1:
            raise DaypartsError(f"The daypart id {daypart.daytime_id} is used more than once.")
    windows = ((start, until, daypart) for daypart in dayparts for start, until in daypart.windows)
    intervals = sorted(windows, key=lambda window: window[:2])
    for (_, until, first), (start, _, second) in itertools.pairwise(intervals):
        if start < until and first != second:
            raise DaypartsError(
                f"The dayparts {_name(first)} and {_name(second)} overlap from {_time(start)} on;"
                " no time of day may belong to two."
            )


def _name(daypart: Daypart) -> str:
    return f"{daypart.daytime_id} {daypart.label!r} ({_time(daypart.start)}-{_time(daypart.end)})"


def _time(microseconds: int) -> str:
    return f"{microseconds // MINUTE // 60:02}:{microseconds // MINUTE % 60:02}"
