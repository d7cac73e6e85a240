"""Parsing `as_of`, and the business date of an instant."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import RequestError
from source.window import (
    EPOCH,
    buckets_of,
    daily_after,
    date_of,
    day_buckets,
    day_buckets_of,
    parse_as_of,
    touched_days,
)


@pytest.mark.parametrize(
    ("value", "zone", "instant"),
    [
        ("2026-01-31", "UTC", datetime(2026, 1, 31, 23, 59, 59, 999999, UTC)),
        ("2026-07-31", "Europe/London", datetime(2026, 7, 31, 22, 59, 59, 999999, UTC)),
        ("2024-10-31", "Africa/Cairo", datetime(2024, 10, 31, 21, 59, 59, 999999, UTC)),  # its last hour comes twice
        ("2026-07-31 12:00", "Europe/London", datetime(2026, 7, 31, 11, tzinfo=UTC)),
        ("2026-07-31T12:00:00+05:45", "Europe/London", datetime(2026, 7, 31, 6, 15, tzinfo=UTC)),
    ],
)
def test_a_date_alone_is_its_last_instant_and_a_time_is_the_zones(value: str, zone: str, instant: datetime) -> None:
    assert parse_as_of(value, zone) == instant


@pytest.mark.parametrize("value", ["yesterday", "", "0001-01-02", "1900-12-31T23:59:59", "2026-02-30"])
def test_what_is_no_time_is_refused(value: str) -> None:
    with pytest.raises(RequestError, match="as_of is"):
        parse_as_of(value, "UTC")


PLAN_DATES = st.dates(date(1999, 1, 1), date(2040, 1, 1))


@given(today=PLAN_DATES, by_weekday=st.booleans(), days=st.lists(st.integers(-60_000, 15_000), max_size=30))
def test_a_days_bucket_is_of_its_weekday_and_is_read_whole(today: date, by_weekday: bool, days: list[int]) -> None:
    plan = {"business_date": today.isoformat(), "daily_after": daily_after(today).isoformat(), "by_weekday": by_weekday}
    last = (today - EPOCH).days + 1
    days = [day for day in days if day <= last] + [last, last - 8, last - 9]
    firsts = day_buckets(plan)
    found = firsts[buckets_of(plan, np.array(days), firsts)]
    if by_weekday:
        assert ((found - np.array(days)) % 7 == 0).all()
    assert len(firsts) == len(set(firsts.tolist())) and (np.diff(firsts) > 0).all()
    touched = day_buckets_of(plan, days)
    assert {(date.fromisoformat(first) - EPOCH).days for first in touched} >= set(found.tolist())
    ranges = list(touched_days(plan | {"day_buckets": touched}))
    opened = [until for first, until in ranges if first is None]
    single = {(first - EPOCH).days for first, _ in ranges if first is not None}
    assert all(day in single or (opened and day < (opened[0] - EPOCH).days) for day in days)
    # Nothing of another bucket is read, but for those that are open to the past.
    every = np.arange(firsts[7], firsts[-1] + 1)
    names = {date_of(int(first)).isoformat() for first in firsts[buckets_of(plan, np.array(sorted(single)), firsts)]}
    assert names <= set(touched) and len(opened) <= 1
    mine = np.isin(firsts[buckets_of(plan, every, firsts)], [(date.fromisoformat(t) - EPOCH).days for t in touched])
    assert set(every[mine].tolist()) == {day for day in single if day >= firsts[7]}
