"""Which rows a run counts, as SQL: the window of time, the business date, and a part's key range.

Everything comes from the run's plan, so that every part of a run, on whatever host, means the same.
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

EPOCH = date(2000, 1, 1)  # PostgreSQL's own
FIRST_DAY = "1900-01-01"  # whatever is dated before is one bucket: nobody's orders, somebody's zero
FIRST_YEAR = 1901
WEEK = 7
BUCKET_DAYS = 28


def business_date_of(instant: datetime, timezone: str, day_start: time) -> date:
    """The business date of an instant: local wall-clock time less the day's start, naively, and its date."""
    local = instant.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    return (local - timedelta(hours=day_start.hour, minutes=day_start.minute)).date()


def parse_as_of(value: str, timezone: str) -> datetime:
    """An `as_of` as people write it: without an offset it is in `timezone`, a date alone is its last instant.

    Raises
    ------
    RequestError
        When it is neither a date nor a time in ISO 8601, or before all orders that anybody has.
    """
    try:
        instant = datetime.fromisoformat(value)
        if re.fullmatch(r"\d{4}-?(\d{2}-?\d{2}|W\d{2}-?\d)", value):
            instant = datetime.combine(instant, time.max.replace(fold=1))  # clocks may be put back at midnight
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
    """When a business day begins, in microseconds after midnight."""
    clock = time.fromisoformat(plan["business_day_start"])
    return (clock.hour * 60 + clock.minute) * 60_000_000


def use_time_zone(connection: psycopg.Connection[Any], plan: Plan) -> None:
    """Have `local_time` mean the run's time zone, until the transaction ends.

    AT TIME ZONE, beside it, looks the zone up for every row, and takes CET, EET, MET and WET for abbreviations that
    know no summer.
    """
    connection.execute("SELECT set_config('timezone', %s, true)", [plan["timezone"]])


def local_time(instant: sql.Composable) -> sql.Composable:
    """The wall-clock time of an instant; on a connection with `use_time_zone`."""
    return sql.SQL("({}::timestamp)").format(instant)


def business_date(local: sql.Composable, plan: Plan) -> sql.Composable:
    """The business date of a wall-clock time."""
    return sql.SQL("({} - {}::interval)::date").format(local, sql.Literal(plan["business_day_start"]))


def in_window(plan: Plan) -> sql.Composable:
    """Whether a row's time lies in the run's window: up to `as_of`, and within the lookback where there is one.

    The business date is worked out only for rows within two days of the lookback's edge.
    """
    created_at = sql.Identifier("created_at")
    upto = sql.SQL("({} <= {}::timestamptz)").format(created_at, sql.Literal(plan["as_of"]))
    if not plan["lookback_days"]:
        return upto
    first = date.fromisoformat(plan["business_date"]) - timedelta(days=plan["lookback_days"])
    return sql.SQL("({} AND ({} >= {}::timestamptz OR {} >= {}::date))").format(
        upto,
        created_at,
        sql.Literal((first + timedelta(days=3)).isoformat() + "T00:00:00+00:00"),
        business_date(local_time(created_at), plan),
        sql.Literal(first.isoformat()),
    )


def future_transactions(crm: psycopg.Connection[Any], plan: Plan) -> int:
    """How many transactions are dated after `as_of`, and so left out; guests' too, whatever their amount."""
    return int(
        scalar(
            crm,
            "SELECT count(*) FROM fact_transactions WHERE created_at > %s::timestamptz AND created_at < 'infinity'",
            plan["as_of"],
        )
    )


def daily_after(business_date: date) -> date:
    """The last business date that is tallied together with its neighbours; later ones are tallied one by one.

    Imports are mostly of these days. Older orders come by day buckets, so that two years of them are few rows.
    """
    return business_date - timedelta(days=8)


def open_buckets(plan: Plan) -> int:
    """How many day buckets are open to the past: one for each weekday, or one in plans of versions before."""
    return WEEK if plan.get("by_weekday") else 1


def day_buckets(plan: Plan) -> NDArray[np.int64]:
    """The first day of each bucket of business days, rising, in days since 2000-01-01.

    The day buckets are the menu's tallies: one weekday of 28 weeks, or one of the newest days alone. The first ones are
    open to the past; the last is behind every day that counts. Plans of versions before have buckets of 28 days.
    """
    first, alone, today = (
        (date.fromisoformat(day) - EPOCH).days for day in (FIRST_DAY, plan["daily_after"], plan["business_date"])
    )
    beside = open_buckets(plan)
    together = (np.arange(first, alone + 1, BUCKET_DAYS * beside)[:, None] + np.arange(beside)).ravel()
    # Where clocks are put back, the last orders' wall clocks may show a business date more than `as_of`'s.
    single = np.arange(alone + 1, today + 3)
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
    """The day buckets, by their first dates and rising, that these days (since 2000-01-01) are in."""
    firsts = day_buckets(plan)
    places = buckets_of(plan, np.minimum(np.array(days, dtype=np.int64), firsts[-1]), firsts)
    if (places < open_buckets(plan)).any():  # they are read as one
        places = np.concatenate([np.arange(open_buckets(plan)), places])
    return [date_of(int(first)).isoformat() for first in firsts[np.unique(places)]]


def touched_days(plan: Plan) -> Iterator[tuple[date | None, date]]:
    """The business days of the plan's touched day buckets, as half-open ranges; what is open to the past is one."""
    firsts, beside = day_buckets(plan), open_buckets(plan)
    wanted = {(date.fromisoformat(text) - EPOCH).days for text in plan["day_buckets"]}
    if wanted & set(firsts[:beside].tolist()):
        yield None, date_of(int(firsts[beside]))
    days = np.arange(firsts[beside], firsts[-1] + 1)
    for day in days[np.isin(firsts[buckets_of(plan, days, firsts)], list(wanted))].tolist():
        yield date_of(day), date_of(day + 1)


def date_of(day: int) -> date:
    """A day since 2000-01-01 as a date."""
    return EPOCH + timedelta(days=day)


def on_days(plan: Plan, first: date | None, until: date) -> sql.Composable:
    """Whether a row's business date is in a half-open range, in a form that an index on `created_at` serves.

    The range of instants surely covers it; then the date itself is held against it.
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


def _instants(day: date, clock: time, timezone: str) -> tuple[datetime, datetime]:
    """The earliest and the latest instant that a wall clock may have meant by this time of this day."""
    wall = datetime.combine(day, clock, UTC)
    nearby = (wall + timedelta(hours=hours) for hours in range(-26, 27))
    offsets = [instant.astimezone(ZoneInfo(timezone)).utcoffset() or timedelta() for instant in nearby]
    return wall - max(offsets), wall - min(offsets)


def key_range(column: sql.Composable, part: KeyRange, type_name: str) -> sql.Composable:
    """Whether a key lies in the part's half-open range; an end that is open matches every key that is not NULL."""
    ends = []
    if part.lower is not None:
        ends.append(sql.SQL("{} >= {}::" + type_name).format(column, sql.Literal(part.lower)))
    if part.upper is not None:
        ends.append(sql.SQL("{} < {}::" + type_name).format(column, sql.Literal(part.upper)))
    return sql.SQL(" AND ").join(ends) if ends else sql.SQL("{} IS NOT NULL").format(column)
