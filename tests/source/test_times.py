"""Times in exports: unambiguous, or refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from source.loading import times
from source.loading.options import DateOrder, Options
from source.loading.texts import BadValueError
from source.loading.values import Reader

LONDON = ZoneInfo("Europe/London")


def read(text: str, order: DateOrder | None = None, zone: ZoneInfo = LONDON) -> tuple[str, list[str]]:
    """The instant as UTC to the minute, and the remarks; through the whole column's path."""
    reader = Reader(Options(date_order=order), zone)
    (column,) = reader.read("created_at", "time", [pa.array([text])], 1)
    found = column[0].as_py()
    instant = datetime.fromisoformat(found)
    local = instant if instant.tzinfo else instant.replace(tzinfo=zone)
    return local.astimezone(UTC).isoformat(), [what for _, what in reader.remarks._found]


@pytest.mark.parametrize(
    ("text", "order", "right"),
    [
        ("2024-06-05 13:00", None, "2024-06-05T12:00"),
        ("2024-06-05T13:00:00Z", None, "2024-06-05T13:00"),
        ("2024-06-05T13:00:00.123456+02:00", None, "2024-06-05T11:00"),
        ("2024-06-05 13:00:00 +0100", None, "2024-06-05T12:00"),
        ("2024-06-05 13:00:00-05", None, "2024-06-05T18:00"),
        ("2024-06-05 13:00:00 UTC", None, "2024-06-05T13:00"),
        ("20240605T130000Z", None, "2024-06-05T13:00"),
        ("2024-06-05 24:00", None, "2024-06-05T23:00"),
        ("2024-06-05 00:00:00.000000 13:00:00", None, "2024-06-05T12:00"),
        ("2024-02-29 13:00", None, "2024-02-29T13:00"),
        ("2024-06-05 9:30", None, "2024-06-05T08:30"),
        (" 2024-06-05 13:00 ", None, "2024-06-05T12:00"),
        ("05/06/2024 13:00", "dmy", "2024-06-05T12:00"),
        ("05/06/2024 13:00", "mdy", "2024-05-06T12:00"),
        ("5.6.2024 13:00", "dmy", "2024-06-05T12:00"),
        ("05-06-24, 13:00", "dmy", "2024-06-05T12:00"),
        ("6/5/24 1:00 PM", "mdy", "2024-06-05T12:00"),
        ("6/5/2024 12:05 AM", "mdy", "2024-06-04T23:05"),
        ("6/5/2024, 12:05:00 p.m.", "mdy", "2024-06-05T11:05"),
        ("2024/06/05 13:00", "ymd", "2024-06-05T12:00"),
        ("2024-06-05 01:00 PM", "ymd", "2024-06-05T12:00"),
        ("Jun 5, 2024, 1:00 PM", "mdy", "2024-06-05T12:00"),
        ("05-Jun-2024 13:00", "dmy", "2024-06-05T12:00"),
        ("5. März 2024 13:00 Uhr", "dmy", "2024-03-05T13:00"),
        ("5 de agosto de 2024 13:00", "dmy", "2024-08-05T12:00"),
        ("14 juil. 2024 13:00", "dmy", "2024-07-14T12:00"),
        ("2024-06-05 13:00", "dmy", "2024-06-05T12:00"),
    ],
)
def test_a_time_has_one_meaning(text: str, order: DateOrder | None, right: str) -> None:
    found, remarks = read(text, order)
    assert found.startswith(right) and remarks == []


@pytest.mark.parametrize(
    ("text", "order", "said"),
    [
        ("05/06/2024 13:00", None, "--date-order"),
        ("14/06/2024 13:00", None, "--date-order"),
        ("14/06/2024 13:00", "mdy", "calendar"),
        ("05/06/2024", "ymd", "not in the order ymd"),
        ("2024-06-05 01:00 PM", None, "AM or PM"),
        ("Jun 5, 2024, 1:00 PM", None, "--date-order"),
        ("5 Foo 2024", "dmy", "names no month"),
        ("2024-06-05 13:00:00 EST", None, "ambiguous time zone"),
        ("2024-06-05 13:00:00 BST", "dmy", "ambiguous time zone"),
        ("1717592400", None, "is a number"),
        ("45448.54", None, "is a number"),
        ("now", None, "not a time"),
        ("infinity", None, "not a time"),
        ("today", "dmy", "not a time"),
        ("1899-12-30 13:00", None, "1900"),
        ("2026-02-30", None, "calendar"),
        ("2023-02-29 10:00", None, "calendar"),
        ("2024-06-05 24:01", None, "no such hour"),
        ("2024-06-05 25:00", None, "no such hour"),
        ("2024-06-05 13:61", None, "no such hour"),
        ("6/5/2024 13:00 PM", "mdy", "no such hour"),
        ("2024-W23-3", None, "not a time"),
        ("soon", None, "not a time"),
        ("0000-00-00 00:00:00", None, "calendar"),
    ],
)
def test_what_is_no_time_or_could_be_two_is_refused(text: str, order: DateOrder | None, said: str) -> None:
    with pytest.raises(BadValueError, match=re.escape(said)):
        read(text, order)


@pytest.mark.parametrize(
    ("text", "zone", "right", "remark"),
    [
        ("2024-06-05", "Europe/London", "2024-06-05T11:00", times.DATE_ONLY),
        ("2024-10-27 01:30", "Europe/London", "2024-10-27T00:30", times.TWICE),
        ("2024-03-31 01:30", "Europe/London", "2024-03-31T01:30", times.NEVER),
        ("2025-10-05 02:15", "Australia/Lord_Howe", "2025-10-04T15:45", times.NEVER),
        ("2025-04-06 01:45", "Australia/Lord_Howe", "2025-04-05T14:45", times.TWICE),
        ("2018-11-04 00:30", "America/Sao_Paulo", "2018-11-04T03:30", times.NEVER),
        ("2018-02-17 23:30", "America/Sao_Paulo", "2018-02-18T01:30", times.TWICE),
    ],
)
def test_what_was_assumed_is_reported(text: str, zone: str, right: str, remark: str) -> None:
    found, remarks = read(text, zone=ZoneInfo(zone))
    assert found.startswith(right) and remarks == [remark]


@settings(deadline=None)
@given(
    st.datetimes(datetime(1901, 1, 1), datetime(2100, 1, 1)),
    st.sampled_from(
        ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"]
    ),
)
def test_local_times_are_pythons_first_reading(local: datetime, zone: str) -> None:
    found, _ = read(local.isoformat(sep=" "), zone=ZoneInfo(zone))
    assert datetime.fromisoformat(found) == local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York", "Australia/Lord_Howe", "America/St_Johns"])
def test_every_minute_that_is_doubtful_lies_on_a_day_of_change(zone: str) -> None:
    zoned, minute = ZoneInfo(zone), timedelta(minutes=1)
    for year in (1988, 2007, 2024):
        days = times.days_of_change(zoned, year)
        local = datetime(year, 1, 1)
        while local.year == year:
            if local.replace(tzinfo=zoned).utcoffset() != local.replace(tzinfo=zoned, fold=1).utcoffset():
                assert local.date().isoformat() in days, local
            local += 15 * minute
