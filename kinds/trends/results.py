"""Reading published trends: series, forecasts and trends, row by row. Never computes, never locks."""

from __future__ import annotations

from calendar import day_name
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from store.published import PublishedState

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
    query = (
        "SELECT max((CAST(:last AS date) - first_date) + 1) FROM metric_results WHERE generation = :generation"
        " AND metric = coalesce(:metric, metric) AND dimension = coalesce(:dimension, dimension)"
    )
    last = (state.run.counts or {}).get("last_complete_date")
    values = {"last": last, "metric": wanted.metric, "dimension": wanted.dimension, "generation": state.generation}
    return max(0, session.execute(text(query), values).scalar() or 0)


def series(session: Session, generation: int, wanted: Wanted) -> Sequence[Row[Any]]:
    """A row for each series and business date with a value, in this order."""
    days = "first_date + (place - 1)::int"
    return _rows(
        session,
        generation,
        wanted,
        f"SELECT metric, dimension, name, {days} AS business_date, value"  # noqa: S608  # our own names
        " FROM metric_results, unnest(points) WITH ORDINALITY AS points (value, place)",
        days,
        ["value <> 'NaN'"],
    )


def forecasts(session: Session, generation: int, wanted: Wanted) -> Sequence[Row[Any]]:
    """A row for each series and forecast date, in this order."""
    days = "forecast_from + (place - 1)::int"
    return _rows(
        session,
        generation,
        wanted,
        f"SELECT metric, dimension, name, {days} AS business_date, forecast, low, high,"  # noqa: S608  # our own names
        " ('{blend,weekday_median,seasonal_naive,closed}'::text[])[method] AS method"
        " FROM metric_results,"
        " unnest(forecasts, lows, highs, methods) WITH ORDINALITY AS ahead (forecast, low, high, method, place)",
        days,
        [],
    )


def _rows(
    session: Session, generation: int, wanted: Wanted, query: str, days: str, conditions: Sequence[str]
) -> Sequence[Row[Any]]:
    values: dict[str, Any] = {"generation": generation, "limit": wanted.limit}
    limits = ["generation = :generation", *conditions]
    for condition, name, value in (
        ("metric = :metric", "metric", wanted.metric),
        ("dimension = :dimension", "dimension", wanted.dimension),
        (f"{days} >= :first", "first", wanted.first),
        (f"{days} <= :last", "last", wanted.last),
    ):
        if value is not None:
            limits.append(condition)
            values[name] = value
    if wanted.after:
        values |= dict(zip(("after_metric", "after_dimension", "after_date"), wanted.after, strict=True))
        # The first comparison is what the key serves.
        limits.append("(metric, dimension) >= (:after_metric, :after_dimension)")
        limits.append(f"((metric, dimension) > (:after_metric, :after_dimension) OR {days} > :after_date)")
    ordered = f"{query} WHERE {' AND '.join(limits)} ORDER BY metric, dimension, place LIMIT :limit"
    return session.execute(text(ordered), values).all()


def trends(
    session: Session, generation: int, wanted: Wanted, direction: str | None = None, *, weeks: bool = False
) -> Sequence[Row[Any]]:
    """A row for each series, with the last day's anomaly; with `weeks` also its points and when they begin.

    In order of metrics and dimensions; of `wanted` no dates are looked at.
    """
    limits = ["generation = :generation"]
    values: dict[str, Any] = {"generation": generation, "limit": wanted.limit}
    limiting: Mapping[str, str | None] = {
        "metric": wanted.metric,
        "dimension": wanted.dimension,
        "direction": direction,
    }
    for name, value in limiting.items():
        if value is not None:
            limits.append(f"{name} = :{name}")
            values[name] = value
    if wanted.after:
        limits.append("(metric, dimension) > (:after_metric, :after_dimension)")
        values |= {"after_metric": wanted.after[0], "after_dimension": wanted.after[1]}
    more = ", first_date, points, forecasts" if weeks else ""
    query = (
        "SELECT metric, dimension, name, direction, change, p_value, q_value,"  # noqa: S608  # our own names
        f" weeks, season_unknown, anomaly{more}"
        " FROM metric_results JOIN metric_trend_results USING (generation, metric, dimension)"
        f" WHERE {' AND '.join(limits)} ORDER BY metric, dimension LIMIT :limit"
    )
    return session.execute(text(query), values).all()
