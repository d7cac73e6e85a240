"""From counts per business day to daily series, and from series to what is published of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics import daily, forecasts, trends
from analytics.anomalies import anomalies
from analytics.smoothing import Flags, Reals

Whole = NDArray[np.int64]
Key = tuple[str, str]

CENTS = 100
FIRST_WEEKDAY = 5  # of 2000-01-01, from Monday on
FITTED_DAYS = 3 * 365 + 1  # the last of a series' days, which forecasts and trends are taken from

# What is counted alone, and the name and unit of its series; the dimension is `first`, as the given sort of thing.
_PLAIN = {
    daily.ORDERS: ("orders", 1),
    daily.REVENUE: ("revenue", CENTS),
    daily.GUEST_ORDERS: ("guest_orders", 1),
    daily.KNOWN_CUSTOMERS: ("known_customers", 1),
    daily.NEW_CUSTOMERS: ("new_customers", 1),
    daily.DAYPART_ORDERS: ("daypart_orders", 1),
    daily.DAYPART_REVENUE: ("daypart_revenue", CENTS),
    daily.CATEGORY_ORDERS: ("category_orders", 1),
    daily.CATEGORY_REVENUE: ("category_revenue", CENTS),
    daily.ITEM_REVENUE: ("item_revenue", CENTS),
}
TOTALS = (
    "orders",
    "revenue",
    "guest_orders",
    "known_customers",
    "new_customers",
    "returning_customers",
    "average_ticket",
)
METRICS = (
    *TOTALS,
    "item_orders",
    "item_revenue",
    "item_daypart_orders",
    "category_orders",
    "category_revenue",
    "daypart_orders",
    "daypart_revenue",
    "segment_customers",
    "segment_revenue",
)


@dataclass(frozen=True)
class Span:
    """The days that series are of, since 2000-01-01: from the first to the last with an order, and the complete ones.

    `is_open` says for each whether anything was sold.
    """

    first: int
    last: int
    last_complete: int
    is_open: Flags

    @classmethod
    def of(cls, cells: Whole, incomplete_from: int) -> Span | None:
        """From the cells of all orders; None where there are none. Days from `incomplete_from` on may still grow."""
        days = cells[np.isin(cells[:, 1], (daily.ORDERS, daily.REVENUE)), 0]
        if not len(days):
            return None
        first, last = int(days.min()), int(days.max())
        is_open = np.zeros(last - first + 1, dtype=bool)
        sold = (cells[:, 1] == daily.ORDERS) & (cells[:, 4] > 0)
        is_open[cells[sold, 0] - first] = True
        return cls(first, last, min(last, incomplete_from - 1), is_open)

    def closed_weekdays(self) -> list[int]:
        """The weekdays (ISO, 1 to 7) on which nothing was sold in the last eight weeks."""
        complete = max(self.last_complete - self.first + 1, 0)
        weekdays = (self.first + FIRST_WEEKDAY + np.arange(complete)) % 7
        closed = forecasts.closed_weekdays(self.is_open[:complete], weekdays, complete)
        return [int(weekday) + 1 for weekday in np.flatnonzero(closed)]

    @property
    def days(self) -> int:
        """How many there are."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Series:
    """Daily series: their metrics and dimensions, and their values, (series, days); NaN where there is none."""

    keys: list[Key]
    values: Reals

    def starts(self) -> Whole:
        """Each series' first day with a value, as a place."""
        found: Whole = np.argmax(~np.isnan(self.values), axis=1)
        return found


def totals(cells: Whole, span: Span) -> Series:
    """The series of all orders, from the first day on."""
    found = {metric: _row(cells[cells[:, 1] == metric], span) for metric in range(daily.NEW_CUSTOMERS + 1)}
    rows = {name: found[metric] / unit for metric, (name, unit) in _PLAIN.items() if name in TOTALS}
    rows["returning_customers"] = rows["known_customers"] - rows["new_customers"]
    with np.errstate(invalid="ignore", divide="ignore"):
        rows["average_ticket"] = found[daily.COUNTED_AMOUNT] / found[daily.ORDERS] / CENTS
    return Series([(name, "") for name in TOTALS], np.stack([rows[name] for name in TOTALS]))


def by_dimension(cells: Whole, span: Span, categories: Sequence[str]) -> Series:
    """The series of dayparts, categories and items, each from its own first day on."""
    keys: list[Key] = []
    rows = []
    for key, its in _grouped(cells, categories):
        row = _row(its, span)
        row[: np.argmax(row != 0)] = np.nan
        keys.append(key)
        rows.append(row / (CENTS if key[0].endswith("revenue") else 1))
    return Series(keys, np.stack(rows) if rows else np.empty((0, span.days)))


def of_segments(days: Sequence[tuple[int, str, int, float]], span: Span) -> Series:
    """The series of segments from a row per day and segment (day, segment, customers, revenue).

    On a day that has rows, a segment without one has no customers; of a day without rows nothing is known.
    """
    inside = [row for row in days if span.first <= row[0] <= span.last]
    known = np.zeros(span.days, dtype=bool)
    known[[day - span.first for day, *_ in inside]] = True
    names = sorted({segment for _, segment, *_ in inside})
    values = np.where(known, 0.0, np.nan) * np.ones((2, len(names), span.days))
    for day, segment, customers, revenue in inside:
        values[:, names.index(segment), day - span.first] = customers, revenue
    for row in values.reshape(-1, span.days):
        row[: np.argmax(np.nan_to_num(row) != 0)] = np.nan
    keys = [(metric, name) for metric in ("segment_customers", "segment_revenue") for name in names]
    return Series(keys, values.reshape(-1, span.days))


def _grouped(cells: Whole, categories: Sequence[str]) -> Iterator[tuple[Key, Whole]]:
    for metric in (daily.DAYPART_ORDERS, daily.DAYPART_REVENUE, daily.ITEM_REVENUE):
        for first, its in _parted(cells[cells[:, 1] == metric], 2):
            yield (_PLAIN[metric][0], str(first)), its
    for metric in (daily.CATEGORY_ORDERS, daily.CATEGORY_REVENUE):
        for first, its in _parted(cells[cells[:, 1] == metric], 2):
            yield (_PLAIN[metric][0], categories[first]), its
    for item, its in _parted(cells[cells[:, 1] == daily.ITEM_ORDERS], 2):
        yield ("item_orders", str(item)), its
        for daypart, of_daypart in _parted(its, 3):
            if daypart != daily.NO_DAYPART:
                yield ("item_daypart_orders", f"{item}:{daypart}"), of_daypart


def _parted(cells: Whole, column: int) -> Iterator[tuple[int, Whole]]:
    """The cells by the value of a column, without series that are all zero."""
    order = np.argsort(cells[:, column], kind="stable")
    names, starts = np.unique(cells[order, column], return_index=True)
    for name, its in zip(names.tolist(), np.split(cells[order], starts[1:]), strict=False):
        if its[:, 4].any():
            yield name, its


def _row(cells: Whole, span: Span) -> Reals:
    """A value for each day; cells of one day are added, days outside the span are left out."""
    found = np.zeros(span.days, dtype=np.int64)
    inside = (cells[:, 0] >= span.first) & (cells[:, 0] <= span.last)
    np.add.at(found, cells[inside, 0] - span.first, cells[inside, 4])
    return found.astype(np.float64)


@dataclass(frozen=True)
class Fit:
    """What is published of series: forecasts from the first day that is not complete, the weeks, and the last day."""

    forecasts: forecasts.Forecasts
    weekly: trends.Weekly
    known_weeks: Whole
    anomaly: Flags
    enough: Flags  # whether there are days enough for a forecast


def fit(series: Series, span: Span, horizon: int) -> Fit:
    """Forecasts, weekly statistics and anomalies from the complete days."""
    complete = max(span.last_complete - span.first + 1, 0)
    start = max(0, complete - FITTED_DAYS)
    values, is_open = series.values[:, start:complete], span.is_open[start:complete]
    weekday = (span.first + start + FIRST_WEEKDAY) % 7
    found = forecasts.forecast(values, weekday, is_open, horizon)
    weekly_values = trends.weekly_values(values, weekday, is_open)
    used = ~np.isnan(values) & is_open
    odd = anomalies(values, found.one_step, used, 1)
    return Fit(
        found,
        trends.weekly(weekly_values),
        (~np.isnan(weekly_values)).sum(axis=1),
        odd[:, -1] if odd.shape[1] else np.zeros(len(values), dtype=bool),
        complete - series.starts() >= forecasts.LEAST_DAYS,
    )
