"""Which rows a run counts, as SQL: the window of time, the business date, and a part's key range.

Everything comes from the run's plan, so that every part of a run, on whatever host, means the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import sql

from errors import RequestError
from store.models import Part

Plan = Mapping[str, Any]

FIRST_DAY = date(1900, 1, 1)  # whatever is dated before is one stretch: nobody's orders, somebody's zero
STRETCH_DAYS = 28


def business_date_of(instant: datetime, timezone: str, day_start: time) -> date:
    """The business date of an instant: local wall-clock time less the day's start, naively, and its date."""
    local = instant.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    return (local - timedelta(hours=day_start.hour, minutes=day_start.minute)).date()


def parse_as_of(value: str, timezone: str) -> datetime:
    """An `as_of` as people write it: without an offset it is in `timezone`, a date alone is its last instant.

    Raises
    ------
    RequestError
        When it is neither a date nor a time in ISO 8601.
    """
    try:
        instant = datetime.fromisoformat(value)
        if re.fullmatch(r"\d{4}-?(\d{2}-?\d{2}|W\d{2}-?\d)", value):
            instant = datetime.combine(instant, time.max)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=ZoneInfo(timezone))
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise RequestError(
            f"as_of is {value!r}, which is not a date or time such as 2026-01-31T18:00:00+00:00."
        ) from None


def local_time(instant: sql.Composable, plan: Plan) -> sql.Composable:
    """The wall-clock time of an instant in the run's time zone."""
    return sql.SQL("({} AT TIME ZONE {})").format(instant, sql.Literal(plan["timezone"]))


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
        business_date(local_time(created_at, plan), plan),
        sql.Literal(first.isoformat()),
    )


def daily_after(business_date: date) -> date:
    """The last business date that is tallied together with its neighbours; later ones are tallied one by one.

    Imports are mostly of these days. Older orders come by stretches, so that two years of them are few rows.
    """
    return business_date - timedelta(days=8)


def stretch(day: sql.Composable, plan: Plan) -> sql.Composable:
    """The first date of the stretch of business dates that one belongs to; the stretches are the menu's tallies."""
    return sql.SQL(
        "CASE WHEN {day} > {daily_after} THEN {day} WHEN {day} < {first} THEN {first} - 1"
        " ELSE {day} - ({day} - {first}) % {days} END"
    ).format(
        day=day,
        daily_after=sql.SQL("{}::date").format(sql.Literal(plan["daily_after"])),
        first=sql.SQL("{}::date").format(sql.Literal(FIRST_DAY.isoformat())),
        days=sql.Literal(STRETCH_DAYS),
    )


def in_stretches(plan: Plan, firsts: Sequence[str]) -> sql.Composable:
    """Whether a row's business date is in one of these stretches, in a form that an index on `created_at` serves.

    Each stretch becomes a range of instants that surely covers it, then its first date is held against it.
    """
    day = business_date(local_time(sql.Identifier("created_at"), plan), plan)
    return sql.SQL("(({}) AND {} = ANY({}::date[]))").format(
        sql.SQL(" OR ").join(_span(plan, date.fromisoformat(first)) for first in firsts)
        if firsts
        else sql.SQL("false"),
        stretch(day, plan),
        sql.Literal(list(firsts)),
    )


def _span(plan: Plan, first: date) -> sql.Composable:
    if first < FIRST_DAY:
        return sql.SQL("(created_at < {})").format(sql.Literal(FIRST_DAY + timedelta(days=3)))
    alone = date.fromisoformat(plan["daily_after"])
    last = first if first > alone else min(first + timedelta(days=STRETCH_DAYS - 1), alone)
    day_start = time.fromisoformat(plan["business_day_start"])
    return sql.SQL("(created_at >= {} AND created_at < {})").format(
        sql.Literal(_instants(first, day_start, plan["timezone"])[0]),
        sql.Literal(_instants(last + timedelta(days=1), day_start, plan["timezone"])[1]),
    )


def _instants(day: date, clock: time, timezone: str) -> tuple[datetime, datetime]:
    """The earliest and the latest instant that a wall clock may have meant by this time of this day."""
    wall = datetime.combine(day, clock, UTC)
    nearby = (wall + timedelta(hours=hours) for hours in range(-26, 27))
    offsets = [instant.astimezone(ZoneInfo(timezone)).utcoffset() or timedelta() for instant in nearby]
    return wall - max(offsets), wall - min(offsets)


def key_range(column: sql.Composable, part: Part, type_name: str) -> sql.Composable:
    """Whether a key lies in the part's half-open range; an end that is open matches every key that is not NULL."""
    ends = []
    if part.lower is not None:
        ends.append(sql.SQL("{} >= {}::" + type_name).format(column, sql.Literal(part.lower)))
    if part.upper is not None:
        ends.append(sql.SQL("{} < {}::" + type_name).format(column, sql.Literal(part.upper)))
    return sql.SQL(" AND ").join(ends) if ends else sql.SQL("{} IS NOT NULL").format(column)
