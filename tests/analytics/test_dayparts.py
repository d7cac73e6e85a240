"""Dayparts: what a window covers, and which windows are refused."""

from __future__ import annotations

import pytest

from analytics.dayparts import DAY, DEFAULT_DAYPARTS, MINUTE, Daypart, check
from errors import DaypartsError


def daypart(number: int, start: int, end: int) -> Daypart:
    """Start and end in minutes after midnight."""
    return Daypart(number, f"part {number}", start * MINUTE, end * MINUTE)


def test_the_default_dayparts_cover_the_day_once() -> None:
    check(DEFAULT_DAYPARTS)
    assert sum(until - start for each in DEFAULT_DAYPARTS for start, until in each.windows) == DAY


def test_the_end_minute_belongs_to_the_window() -> None:
    assert daypart(1, 240, 389).windows == [(240 * MINUTE, 390 * MINUTE)]


def test_a_window_that_starts_after_its_end_wraps_past_midnight() -> None:
    assert daypart(1, 22 * 60, 59).windows == [(22 * 60 * MINUTE, DAY), (0, 60 * MINUTE)]


def test_gaps_and_touching_windows_are_allowed() -> None:
    check([daypart(1, 0, 59), daypart(2, 60, 119), daypart(3, 300, 400)])


@pytest.mark.parametrize(
    ("windows", "named"),
    [
        ([(0, 60), (60, 90)], ["part 1", "part 2", "01:00"]),
        ([(240, 389), (240, 389)], ["part 1", "part 2", "04:00"]),
        ([(22 * 60, 120), (60, 300)], ["part 1", "part 2", "01:00"]),
        ([(0, 600), (700, 800), (500, 550)], ["part 1", "part 3", "08:20"]),
    ],
)
def test_overlapping_windows_are_refused_naming_both(windows: list[tuple[int, int]], named: list[str]) -> None:
    with pytest.raises(DaypartsError) as refused:
        check([daypart(number, *window) for number, window in enumerate(windows, 1)])
    assert all(name in str(refused.value) for name in named)


def test_an_id_that_comes_twice_is_refused() -> None:
    with pytest.raises(DaypartsError, match="7 is used more than once"):
        check([daypart(7, 0, 10), daypart(7, 20, 30)])
