"""SQL conditions for the rows that a run counts: time window, business date, and a part's key range;
long, since all conditions are here.

They depend on the run's plan only, so that all parts of a run use the same on every host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from errors import RequestError
from postgres import scalar
from source.ranges import KeyRange

Plan = Mapping[str, Any]

EPOCH = date(2000, 1, 1)  # PostgreSQL's epoch
FIRST_DAY = "1900-01-01"  # everything before is one bucket; such dates are placeholders, not orders
FIRST_YEAR = 1901
WEEK = 7
BUCKET_DAYS = 28


def business_date_of(instant: datetime, timezone: str, day_start: time) -> date:
    """The business date of an instant: the date of its local wall-clock time minus the day's start."""
    local = instant.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    return (local - timedelta(hours=day_start.hour, minutes=day_start.minute)).date()


def parse_as_of(value: str, timezone: str) -> datetime:
    """Parse an `as_of`: without an offset it is in `timezone`, a date alone means its last instant.

    Raises
    ------
    RequestError
        When it is neither a date nor a time in ISO 8601, or before FIRST_YEAR.
    """
    try:
        instant = datetime.fromisoformat(value)
        if re.fullmatch(r"\d{4}-?(\d{2}-?\d{2}|W\d{2}-?\d)", value):
            instant = datetime.combine(instant, time.max.replace(fold=1))  # if clocks are put back at midnight
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=ZoneInfo(timezone))
        if instant.year < FIRST_YEAR:
            raise ValueError
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise RequestError(
            f"as_of is {value!r}, which is not a date or time from {FIRST_YEAR} on, such as 2026-01-31T18:00:00+00:00."
        ) from None


def day_start(plan: Plan) -> int:
    """The start of a business day, in microseconds after midnight."""
    clock = time.fromisoformat(plan["business_day_start"])
    return (clock.hour * 60 + clock.minute) * 60_000_000


def use_time_zone(connection: psycopg.Connection[Any], plan: Plan) -> None:
    """Set the session's time zone to the run's, for `local_time`, until the transaction ends.

    AT TIME ZONE would look the zone up for every row, and treats CET, EET, MET and WET as abbreviations without
    daylight saving time.
    """
    connection.execute("SELECT set_config('timezone', %s, true)", [plan["timezone"]])


def local_time(instant: sql.Composable) -> sql.Composable:
    """The wall-clock time of an instant; for a connection with `use_time_zone`."""
    return sql.SQL("({}::timestamp)").format(instant)


def business_date(local: sql.Composable, plan: Plan) -> sql.Composable:
    """The business date of a wall-clock time."""
    return sql.SQL("({} - {}::interval)::date").format(local, sql.Literal(plan["business_day_start"]))


def included(plan: Plan) -> sql.Composable:
    """The condition that the segment map does not exclude a customer."""
    excluded = plan.get("excluded")
    return sql.SQL("mobile_id <> ALL({}::text[])").format(sql.Literal(excluded)) if excluded else sql.SQL("true")


def in_window(plan: Plan) -> sql.Composable:
    """The condition that a row's time is in the run's window: up to `as_of`, and within the lookback if there is one.

    The business date is computed only for rows within two days of the start of the lookback.
    """
    created_at = sql.Identifier("created_at")
    upto = sql.SQL("({} <= {}::timestamptz)").format(created_at, sql.Literal(plan["as_of"]))
    if not plan["lookback_days"]:
        return upto
    first = first_day(plan, plan["business_date"])
    return sql.SQL("({} AND ({} >= {}::timestamptz OR {} >= {}::date))").format(
        upto,
        created_at,
        sql.Literal((first + timedelta(days=3)).isoformat() + "T00:00:00+00:00"),
        business_date(local_time(created_at), plan),
        sql.Literal(first.isoformat()),
    )


def first_day(plan: Plan, business_date: str) -> date:
    """The first business day of the lookback on a business date."""
    return date.fromisoformat(business_date) - timedelta(days=plan["lookback_days"])


def moved_days(plan: Plan) -> tuple[date, date] | None:
    """The business days, half-open, that have left the lookback of an incremental run since the published one.

    They have entered it if clocks were put back to the business day before. None without a lookback, or on the same
    business date.
    """
    before = plan["since"].get("business_date", plan["business_date"])  # an older version planned only for the same
    if not plan.get("lookback_days") or before == plan["business_date"]:
        return None
    first, until = sorted(first_day(plan, each) for each in (before, plan["business_date"]))
    return first, until


def future_transactions(crm: psycopg.Connection[Any], plan: Plan) -> int:
    """The number of transactions dated after `as_of`, which are left out; all of them, guests' too."""
    return int(
        scalar(
            crm,
            "SELECT count(*) FROM fact_transactions WHERE created_at > %s::timestamptz AND created_at < 'infinity'",
            plan["as_of"],
        )
    )


def daily_after(business_date: date) -> date:
    """The last business date that is in a bucket of several days; later dates have a bucket each.

    Most imports change the latest days. Older ones share buckets, so that two years need few rows.
    """
    return business_date - timedelta(days=8)


def open_buckets(plan: Plan) -> int:
    """The number of day buckets without a start: one per weekday, or one in plans of earlier versions."""
    return WEEK if plan.get("by_weekday") else 1


def day_of(date_text: str) -> int:
    """A date in a plan, in days since 2000-01-01."""
    return (date.fromisoformat(date_text) - EPOCH).days


def today(plan: Plan) -> int:
    """The run's business date, in days since 2000-01-01."""
    return day_of(plan["business_date"])


def day_buckets(plan: Plan) -> NDArray[np.int64]:
    """The first day of each bucket of business days, in increasing order, in days since 2000-01-01.

    The menu's tallies are per bucket: one weekday of 28 weeks, or one of the newest days. The first ones have no start;
    the last one starts after every counted day. Plans of earlier versions have buckets of 28 days.
    """
    first, alone, last = (day_of(text) for text in (FIRST_DAY, plan["daily_after"], plan["business_date"]))
    beside = open_buckets(plan)
    together = (np.arange(first, alone + 1, BUCKET_DAYS * beside)[:, None] + np.arange(beside)).ravel()
    # After clocks were put back, the last orders may have a later business date than `as_of`.
    single = np.arange(alone + 1, last + 3)
    return np.concatenate([np.arange(first - beside, first), together[together <= alone], single]).astype(np.int64)


def buckets_of(plan: Plan, days: NDArray[np.int64], firsts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each day's bucket, as a place in `firsts`, which are `day_buckets`.

    That is, of those with its weekday, the last that begins on it or before; or the one that is open to the past.
    """
    beside, place = open_buckets(plan), np.searchsorted(firsts, days, side="right") - 1
    before = (days - firsts[0]) % beside
    found: NDArray[np.int64] = np.where(place < 0, before, place - (firsts[place] - days) % beside)
    return found


def day_buckets_of(plan: Plan, days: Sequence[int]) -> list[str]:
    """The first dates, in increasing order, of the day buckets that contain these days (since 2000-01-01)."""
    firsts = day_buckets(plan)
    places = buckets_of(plan, np.minimum(np.array(days, dtype=np.int64), firsts[-1]), firsts)
    if (places < open_buckets(plan)).any():  # they are read as one
        places = np.concatenate([np.arange(open_buckets(plan)), places])
    return [date_of(int(first)).isoformat() for first in firsts[np.unique(places)]]


def touched_days(plan: Plan) -> Iterator[tuple[date | None, date]]:
    """The plan's touched business days as half-open ranges: its `days`, or those of its `day_buckets`.

    The first bucket is one range.
    """
    if "days" in plan:
        yield from ((date.fromisoformat(day), date.fromisoformat(day) + timedelta(days=1)) for day in plan["days"])
        return
    firsts, beside = day_buckets(plan), open_buckets(plan)
    wanted = {day_of(text) for text in plan["day_buckets"]}
    if wanted & set(firsts[:beside].tolist()):
        yield None, date_of(int(firsts[beside]))
    days = np.arange(firsts[beside], firsts[-1] + 1)
    for day in days[np.isin(firsts[buckets_of(plan, days, firsts)], list(wanted))].tolist():
        yield date_of(day), date_of(day + 1)


def date_of(day: int) -> date:
    """A day since 2000-01-01 as a date."""
    return EPOCH + timedelta(days=day)


def on_days(plan: Plan, first: date | None, until: date) -> sql.Composable:
    """The condition that a row's business date is in a half-open range; it can use an index on `created_at`.

    A range of instants that covers these dates is for the index; then the date itself is compared.
    """
    created_at, clock = sql.Identifier("created_at"), time.fromisoformat(plan["business_day_start"])
    day = business_date(local_time(created_at), plan)
    edges = [("<", until, 1)] if first is None else [(">=", first, 0), ("<", until, 1)]
    ends = [
        sql.SQL("{created_at} {sign} {instant} AND {day} {sign} {edge}").format(
            created_at=created_at,
            sign=sql.SQL(sign),
            instant=sql.Literal(_instants(edge, clock, plan["timezone"])[which]),
            day=day,
            edge=sql.Literal(edge),
        )
        for sign, edge, which in edges
    ]
    return sql.SQL("({})").format(sql.SQL(" AND ").join(ends))


def since_day(plan: Plan, first: date) -> sql.Composable:
    """The condition that a row's instant may be on this business day or a later one; it can use an index."""
    earliest, _ = _instants(first, time.fromisoformat(plan["business_day_start"]), plan["timezone"])
    return sql.SQL("created_at >= {}").format(sql.Literal(earliest))


def _instants(day: date, clock: time, timezone: str) -> tuple[datetime, datetime]:
    """The earliest and the latest instant that have this wall-clock time on this day."""
    wall = datetime.combine(day, clock, UTC)
    nearby = (wall + timedelta(hours=hours) for hours in range(-26, 27))
    offsets = [instant.astimezone(ZoneInfo(timezone)).utcoffset() or timedelta() for instant in nearby]
    return wall - max(offsets), wall - min(offsets)


def key_range(column: sql.Composable, part: KeyRange, type_name: str) -> sql.Composable:
    """The condition that a key is in the part's half-open range; without ends it matches every key except NULL."""
    ends = []
    if part.lower is not None:
        ends.append(sql.SQL("{} >= {}::" + type_name).format(column, sql.Literal(part.lower)))
    if part.upper is not None:
        ends.append(sql.SQL("{} < {}::" + type_name).format(column, sql.Literal(part.upper)))
    return sql.SQL(" AND ").join(ends) if ends else sql.SQL("{} IS NOT NULL").format(column)
