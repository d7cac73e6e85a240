"""From counts per business day to daily series, and from series to what is published of each."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics import cells as counted
from analytics import forecasts, trends
from analytics.anomalies import anomalies
from analytics.smoothing import Flags, Reals

Whole = NDArray[np.int64]
Key = tuple[str, str]

CENTS = 100
FIRST_WEEKDAY = 5  # of 2000-01-01, from Monday on
FITTED_DAYS = 3 * 365 + 1  # the last of a series' days, which forecasts and trends are taken from

# The name and unit of the series of what is counted; their dimension is `first`.
_NAMED = {
    counted.ORDERS: ("orders", 1),
    counted.REVENUE: ("revenue", CENTS),
    counted.GUEST_ORDERS: ("guest_orders", 1),
    counted.KNOWN_CUSTOMERS: ("known_customers", 1),
    counted.NEW_CUSTOMERS: ("new_customers", 1),
    counted.DAYPART_ORDERS: ("daypart_orders", 1),
    counted.DAYPART_REVENUE: ("daypart_revenue", CENTS),
    counted.CATEGORY_ORDERS: ("category_orders", 1),
    counted.CATEGORY_REVENUE: ("category_revenue", CENTS),
    counted.ITEM_ORDERS: ("item_orders", 1),
    counted.ITEM_REVENUE: ("item_revenue", CENTS),
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

_OF_ALL = (
    *(counted.ORDERS, counted.GUEST_ORDERS, counted.REVENUE, counted.COUNTED_AMOUNT),
    *(counted.KNOWN_CUSTOMERS, counted.NEW_CUSTOMERS),
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
        days = cells[np.isin(cells[:, 1], (counted.ORDERS, counted.REVENUE)), 0]
        if not len(days):
            return None
        first, last = int(days.min()), int(days.max())
        is_open = np.zeros(last - first + 1, dtype=bool)
        sold = (cells[:, 1] == counted.ORDERS) & (cells[:, 4] > 0)
        is_open[cells[sold, 0] - first] = True
        return cls(first, last, min(last, incomplete_from - 1), is_open)

    def closed_weekdays(self) -> list[int]:
        """The weekdays (ISO, 1 to 7) on which nothing was sold in the last eight weeks."""
        weekdays = (self.first + FIRST_WEEKDAY + np.arange(self.complete)) % 7
        closed = forecasts.closed_weekdays(self.is_open[: self.complete], weekdays, self.complete)
        return [int(weekday) + 1 for weekday in np.flatnonzero(closed)]

    @property
    def days(self) -> int:
        """How many there are."""
        return self.last - self.first + 1

    @property
    def complete(self) -> int:
        """How many of them are complete."""
        return max(self.last_complete - self.first + 1, 0)

    def fits_like(self, other: Span | None) -> bool:
        """Whether a series with the same complete days has the same forecasts and weeks."""
        return (
            other is not None
            and (self.first, self.last_complete) == (other.first, other.last_complete)
            and bool((self.is_open[: self.complete] == other.is_open[: self.complete]).all())
        )

    def incomplete(self) -> Span:
        """The days after the complete ones alone; maybe none."""
        first = max(self.first, self.last_complete + 1)
        return Span(first, self.last, first - 1, self.is_open[first - self.first :])


@dataclass(frozen=True)
class Series:
    """Daily series: their metrics and dimensions, and their values, (series, days); NaN where there is none."""

    keys: list[Key]
    values: Reals

    @classmethod
    def together(cls, parts: Sequence[Series]) -> Series:
        """Several as one."""
        return cls([key for part in parts for key in part.keys], np.concatenate([part.values for part in parts]))

    def only(self, keys: Container[Key] | None) -> Series:
        """Those with these keys; all if None."""
        if keys is None:
            return self
        which = [place for place, key in enumerate(self.keys) if key in keys]
        return Series([self.keys[place] for place in which], self.values[which])

    def starts(self) -> Whole:
        """Each series' first day with a value, as a place."""
        found: Whole = np.argmax(~np.isnan(self.values), axis=1)
        return found


def totals(cells: Whole, span: Span) -> Series:
    """The series of all orders, from the first day on."""
    found = {metric: _row(cells[cells[:, 1] == metric], span) for metric in range(counted.NEW_CUSTOMERS + 1)}
    rows = {name: found[metric] / unit for metric, (name, unit) in _NAMED.items() if name in TOTALS}
    rows["returning_customers"] = rows["known_customers"] - rows["new_customers"]
    with np.errstate(invalid="ignore", divide="ignore"):
        rows["average_ticket"] = found[counted.COUNTED_AMOUNT] / found[counted.ORDERS] / CENTS
    return Series([(name, "") for name in TOTALS], np.stack([rows[name] for name in TOTALS]))


def by_dimension(cells: Whole, span: Span, categories: Sequence[str]) -> Series:
    """The series of dayparts, categories and items that are not all zero, each from its own first day on."""
    keys: list[Key] = []
    parts = [np.empty((0, span.days))]
    for of, series, its in _groups(cells, categories):
        values = np.zeros((len(of), span.days), dtype=np.int64)
        inside = (its[:, 0] >= span.first) & (its[:, 0] <= span.last)
        np.add.at(values, (series[inside], its[inside, 0] - span.first), its[inside, 4])
        some = (values != 0).any(axis=1)
        if not some.any():
            continue
        keys += [key for key, kept in zip(of, some.tolist(), strict=True) if kept]
        part = values[some] / (CENTS if of and of[0][0].endswith("revenue") else 1)
        part[np.arange(span.days) < np.argmax(part != 0, axis=1)[:, None]] = np.nan
        parts.append(part)
    return Series(keys, np.concatenate(parts))


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


def keys_of(cells: Whole, categories: Sequence[str]) -> set[Key]:
    """The series that cells belong to; if one is of all orders, all that are of all orders."""
    totals = [(name, "") for name in TOTALS] if np.isin(cells[:, 1], _OF_ALL).any() else []
    return {*totals, *(key for keys, _, _ in _groups(cells, categories) for key in keys)}


def _groups(cells: Whole, categories: Sequence[str]) -> Iterator[tuple[list[Key], Whole, Whole]]:
    """Per metric: the keys of its series, the place among them of each of its cells, and these cells."""
    for metric in (counted.DAYPART_ORDERS, counted.DAYPART_REVENUE, counted.ITEM_ORDERS, counted.ITEM_REVENUE):
        its = cells[cells[:, 1] == metric]
        place, names = counted.distinct(its[:, 2])
        yield [(_NAMED[metric][0], str(first)) for first in names.tolist()], place, its
    for metric in (counted.CATEGORY_ORDERS, counted.CATEGORY_REVENUE):
        its = cells[cells[:, 1] == metric]
        place, names = counted.distinct(its[:, 2])
        yield [(_NAMED[metric][0], categories[number]) for number in names.tolist()], place, its
    its = cells[(cells[:, 1] == counted.ITEM_ORDERS) & (cells[:, 3] != counted.NO_DAYPART)]
    item, items = counted.distinct(its[:, 2])
    daypart, dayparts = counted.distinct(its[:, 3])
    place, pairs = counted.distinct(item * max(len(dayparts), 1) + daypart)
    first, second = np.divmod(pairs, max(len(dayparts), 1))
    named = zip(items[first].tolist(), dayparts[second].tolist(), strict=True)
    yield [("item_daypart_orders", f"{of}:{daytime_id}") for of, daytime_id in named], place, its


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
    complete = span.complete
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
