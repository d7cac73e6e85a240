"""Reading published trends: series, forecasts and trends, as queries. Never computes, never locks."""

from __future__ import annotations

from calendar import day_name
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from store.published import PublishedState
from store.queries import Query

After = tuple[str, str, date]


@dataclass(frozen=True)
class Wanted:
    """Which series to read: of one metric and dimension or all; from where on, and how many rows at most.

    `after` is the last row that was read: its metric, dimension and date.
    """

    metric: str | None = None
    dimension: str | None = None
    first: date | None = None
    last: date | None = None
    after: After | None = None
    limit: int | None = None


def complete_days(state: PublishedState) -> int:
    """How many complete days the published series have."""
    return int((state.run.counts or {}).get("complete_days", 0))


def needs(state: PublishedState, unit: str) -> int:
    """How many complete `days` a forecast needs, and `weeks` a trend."""
    return int((state.run.counts or {})["needs"][unit])


def closed(state: PublishedState) -> str:
    """Which days were treated as closed, and so as no zeros of demand, in words."""
    counts = state.run.counts or {}
    weekdays = " and ".join(f"{day_name[weekday - 1]}s" for weekday in counts.get("closed_weekdays", []))
    days = counts.get("closed_days", 0)
    told = f"{days:,} of them without any order" if days else "none of them without any order"
    return f"{told}; closed on {weekdays}" if weekdays else told


def days_of(session: Session, state: PublishedState, wanted: Wanted) -> int:
    """How many complete days the longest of the wanted series has."""
    conditions, values = _conditions(state.generation, wanted)
    text = f"SELECT max(%(last)s::date - first_date + 1) FROM metric_results WHERE {' AND '.join(conditions)}"  # noqa: S608  # our own names
    last = (state.run.counts or {}).get("last_complete_date")
    ((days,),) = Query(text, {**values, "last": last}).rows(session)
    return max(0, days or 0)


def series(generation: int, wanted: Wanted) -> Query:
    """A row for each series and business date with a value, in this order."""
    days = "first_date + (place - 1)::int"
    return _by_day(
        generation,
        wanted,
        f"SELECT metric, dimension, {days} AS business_date, value, name"  # noqa: S608  # our own names
        " FROM metric_results, unnest(points || last_points) WITH ORDINALITY AS points (value, place)",
        days,
        ["value <> 'NaN'"],
    )


def forecasts(generation: int, wanted: Wanted) -> Query:
    """A row for each series and forecast date, in this order."""
    days = "forecast_from + (place - 1)::int"
    return _by_day(
        generation,
        wanted,
        f"SELECT metric, dimension, {days} AS business_date, forecast, low, high,"  # noqa: S608  # our own names
        " ('{blend,weekday_median,seasonal_naive,closed}'::text[])[method] AS method, name"
        " FROM metric_results,"
        " unnest(forecasts, lows, highs, methods) WITH ORDINALITY AS ahead (forecast, low, high, method, place)",
        days,
        [],
    )


def _by_day(generation: int, wanted: Wanted, select: str, days: str, more: Sequence[str]) -> Query:
    conditions, values = _conditions(generation, wanted)
    conditions += more
    for sign, name, day in ((">=", "first", wanted.first), ("<=", "last", wanted.last)):
        if day is not None:
            conditions.append(f"{days} {sign} %({name})s")
            values[name] = day
    if wanted.after:
        values |= dict(zip(("after_metric", "after_dimension", "after_date"), wanted.after, strict=True))
        after = "(%(after_metric)s, %(after_dimension)s)"
        # The first comparison is what the key serves.
        conditions.append(f"(metric, dimension) >= {after}")
        conditions.append(f"((metric, dimension) > {after} OR {days} > %(after_date)s)")
    return _ordered(select, conditions, "metric, dimension, place", values, wanted.limit)


def trends(generation: int, wanted: Wanted, direction: str | None = None, *, weeks: bool = False) -> Query:
    """A row for each series, with the last day's anomaly; with `weeks` also its points of complete days.

    In order of metrics and dimensions; of `wanted` no dates are looked at.
    """
    conditions, values = _conditions(generation, wanted)
    if direction is not None:
        conditions.append("direction = %(direction)s")
        values["direction"] = direction
    if wanted.after:
        conditions.append("(metric, dimension) > (%(after_metric)s, %(after_dimension)s)")
        values |= {"after_metric": wanted.after[0], "after_dimension": wanted.after[1]}
    more = ", points, forecasts" if weeks else ""
    select = (
        "SELECT metric, dimension, direction, change, p_value, q_value,"  # noqa: S608  # our own names
        f" weeks, season_unknown, anomaly, name{more}"
        " FROM metric_results JOIN metric_trend_results USING (generation, metric, dimension)"
    )
    return _ordered(select, conditions, "metric, dimension", values, wanted.limit)


def exported_trends(generation: int, wanted: Wanted, direction: str | None) -> Query:
    """The same rows, with `true` and `false` in full."""
    found = trends(generation, wanted, direction)
    columns = "metric, dimension, direction, change, p_value, q_value, weeks, season_unknown::text, anomaly::text, name"
    return Query(f"SELECT {columns} FROM ({found.text}) AS found", found.values)  # noqa: S608  # our own names


def _conditions(generation: int, wanted: Wanted) -> tuple[list[str], dict[str, Any]]:
    """SQL conditions on the wanted series, and the values of their placeholders."""
    values: dict[str, Any] = {"generation": generation, "metric": wanted.metric, "dimension": wanted.dimension}
    given = {name: value for name, value in values.items() if value is not None}
    return [f"{name} = %({name})s" for name in given], given


def _ordered(select: str, conditions: Sequence[str], order: str, values: dict[str, Any], limit: int | None) -> Query:
    text = f"{select} WHERE {' AND '.join(conditions)} ORDER BY {order}"
    return Query(text, values) if limit is None else Query(f"{text} LIMIT %(limit)s", {**values, "limit": limit})
