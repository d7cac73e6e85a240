"""Time as people write it, and the night that a moment belongs to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from errors import RequestError
from source.window import parse_as_of


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
