"""Forecasts of daily series: a blend of three methods, with ranges from a backtest.

The blend is the mean of exponential smoothing with fixed rates, of smoothing with rates chosen per series (twice), and
of the weekday's median over eight weeks. A series that is mostly zero is forecast by its weekdays' medians only. If the
backtest shows that the seasonal naive is better (the same weekday of the week before), that is used.

Days on which nothing at all was sold are closed and not used. A weekday that was closed for eight weeks is forecast as
zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.smoothing import Flags, Reals, Smoothed, Whole, smooth

ORIGINS = 8  # of the backtest, a week apart
WEEK, BLOCK = 7, 28  # days
MEDIAN_WEEKS = 8
SPARSE = 0.7  # of the last eight weeks' days are zero
WORSE = 1.1  # from this ratio of the backtest's error to the seasonal naive's, the latter is used
# The quantiles of the backtest's errors for a range of 80 %. Its origins overlap, so the effective sample is smaller:
# on real series the 10 and 90 % quantiles covered 73 %, these 80 to 82 %.
LOW, HIGH = 0.06, 0.94
LEAST_DAYS = 14  # that a series needs: each weekday twice

BLEND, MEDIAN, NAIVE, CLOSED = "blend", "weekday_median", "seasonal_naive", "closed"
METHODS = (BLEND, MEDIAN, NAIVE, CLOSED)


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of (series, horizon): `forecast`, `low` and `high` of the 80 % range, and the `method` by its number.

    `one_step`, (series, days), is the value expected for each past day on the day before.
    """

    forecast: Reals
    low: Reals
    high: Reals
    method: Whole
    one_step: Reals


def closed_weekdays(is_open: Flags, weekdays: Whole, day: int) -> Flags:
    """(7,): the weekdays on which nothing was sold in the eight weeks before a day, as far as they are known."""
    recent = slice(max(0, day - MEDIAN_WEEKS * WEEK), day)
    seen = np.bincount(weekdays[recent], minlength=WEEK)
    sold = np.bincount(weekdays[recent], weights=is_open[recent], minlength=WEEK)
    closed: Flags = (seen > 0) & (sold == 0)
    return closed


def forecast(values: Reals, first_weekday: int, is_open: Flags, horizon: int) -> Forecasts:
    """Forecast daily series.

    Parameters
    ----------
    values
        (series, days), all complete; NaN where a series has no value, as before it began.
    first_weekday
        The weekday of the first day, 0 to 6.
    is_open
        (days,): whether anything was sold.
    horizon
        The number of days to forecast.
    """
    days = values.shape[1]
    weekdays = (first_weekday + np.arange(days + horizon)) % WEEK
    used = ~np.isnan(values) & is_open
    origins = _origins(days)
    smoothed = smooth(values, weekdays[:days], used, [*origins, days])
    at = {day: _expected(values, weekdays, used, is_open, smoothed, day) for day in [*origins, days]}
    naive = {day: _seasonal_naive(values, weekdays, day) for day in [*origins, days]}
    errors, errors_of_naive = (_errors(values, weekdays, used, one, origins) for one in (at, naive))
    worse = errors > WORSE * errors_of_naive
    by_weekday = np.where(worse, naive[days], at[days])
    sparse = _sparse(values, used, days)
    closed = closed_weekdays(is_open, weekdays[:days], days)
    ahead = weekdays[days:]
    expected = np.maximum(by_weekday[ahead].T, 0)
    chosen = {day: np.where(worse, naive[day], at[day]) for day in origins}
    low, high = _ranges(values, weekdays, used, chosen, expected)
    method = np.where(worse, METHODS.index(NAIVE), np.where(sparse, METHODS.index(MEDIAN), METHODS.index(BLEND)))
    methods = np.repeat(method[:, None], horizon, axis=1)
    methods[:, closed[ahead]] = METHODS.index(CLOSED)
    for found in (expected, low, high):
        found[:, closed[ahead]] = 0
    return Forecasts(
        np.round(expected, 6), np.round(low, 6), np.round(high, 6), methods, np.round(smoothed.one_step.T, 6)
    )


def _origins(days: int) -> list[int]:
    """The days that the backtest forecasts from, the last one four weeks before the end."""
    last = days - BLOCK
    return [day for day in range(last - WEEK * (ORIGINS - 1), last + 1, WEEK) if day >= 2 * WEEK]


def _expected(values: Reals, weekdays: Whole, used: Flags, is_open: Flags, smoothed: Smoothed, day: int) -> Reals:
    """(7, series): the blend's forecast per weekday from a day on, before the comparison with the seasonal naive."""
    medians = _weekday_medians(values, weekdays, used, day)
    blend = (smoothed.averaged[day] + 2 * smoothed.chosen[day] + medians) / 4
    found = np.where(_sparse(values, used, day), medians, blend)
    found[closed_weekdays(is_open, weekdays[: len(is_open)], day)] = 0
    return found


def _sparse(values: Reals, used: Flags, day: int) -> Flags:
    recent = slice(max(0, day - MEDIAN_WEEKS * WEEK), day)
    zeros = (used[:, recent] & (values[:, recent] <= 0)).sum(axis=1)
    sparse: Flags = zeros > SPARSE * used[:, recent].sum(axis=1)
    return sparse


def _weekday_medians(values: Reals, weekdays: Whole, used: Flags, day: int) -> Reals:
    """(7, series): the median of each weekday's last eight weeks in which the restaurant was open."""
    found = np.zeros((WEEK, len(values)))
    for weekday in range(WEEK):
        days = np.flatnonzero((weekdays[:day] == weekday) & used[:, :day].any(axis=0))[-MEDIAN_WEEKS:]
        if len(days):
            found[weekday] = median(np.where(used[:, days], values[:, days], np.nan))
    return found


def median(rows: Reals) -> Reals:
    """Each row's median without NaNs; 0 if there are only NaNs."""
    ordered = np.sort(rows, axis=1)
    count = (~np.isnan(rows)).sum(axis=1)
    places = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, rows.shape[1] - 1)], axis=1)
    middle = np.take_along_axis(ordered, places, axis=1)
    return np.where(count > 0, (middle[:, 0] + middle[:, 1]) / 2, 0)


def _seasonal_naive(values: Reals, weekdays: Whole, day: int) -> Reals:
    """(7, series): the values of the week before a day, by weekday; 0 if not known."""
    found = np.zeros((WEEK, len(values)))
    before = np.arange(max(0, day - WEEK), day)
    found[weekdays[before]] = np.nan_to_num(values[:, before].T)
    return found


def _errors(values: Reals, weekdays: Whole, used: Flags, by_weekday: dict[int, Reals], origins: list[int]) -> Reals:
    """(series,): the sum of the absolute errors over four weeks from each origin."""
    total = np.zeros(len(values))
    for origin in origins:
        for day in range(origin, origin + BLOCK):
            total += np.where(used[:, day], np.abs(values[:, day] - by_weekday[origin][weekdays[day]]), 0)
    return np.round(total, 6)


def _ranges(
    values: Reals, weekdays: Whole, used: Flags, by_weekday: dict[int, Reals], expected: Reals
) -> tuple[Reals, Reals]:
    """The 80 % range around the forecast: quantiles of the backtest's errors in logarithms, per week ahead.

    Weeks after the fourth use the fourth's. Without a backtest the range is from zero to twice the forecast.
    """
    low, high = np.zeros_like(expected), 2 * expected
    logs = np.log1p(expected)
    for first in range(0, expected.shape[1], WEEK):
        week, ahead = min(first // WEEK, BLOCK // WEEK - 1), slice(first, first + WEEK)
        errors = [
            np.where(
                used[:, day],
                np.log1p(np.maximum(values[:, day], 0)) - np.log1p(np.maximum(of_origin[weekdays[day]], 0)),
                np.nan,
            )
            for origin, of_origin in by_weekday.items()
            for day in range(origin + WEEK * week, origin + WEEK * (week + 1))
        ]
        if errors:
            below, above = _quantiles(np.stack(errors, axis=1))
            known = ~np.isnan(below)
            low[known, ahead] = np.maximum(np.expm1(logs[known, ahead] + below[known, None]), 0)
            high[known, ahead] = np.maximum(np.expm1(logs[known, ahead] + above[known, None]), 0)
    return np.minimum(low, expected), np.maximum(high, expected)


def _quantiles(rows: Reals) -> tuple[Reals, Reals]:
    """Each row's LOW and HIGH quantile without its NaNs, interpolated; NaN where there is nothing else."""
    ordered, count = np.sort(rows, axis=1), (~np.isnan(rows)).sum(axis=1)
    found = []
    for share in (LOW, HIGH):
        place = share * np.maximum(count - 1, 0)
        under = place.astype(np.int64)
        over = np.minimum(under + 1, np.maximum(count - 1, 0))
        pair = np.take_along_axis(ordered, np.stack([under, over], axis=1), axis=1)
        found.append(pair[:, 0] + (place - under) * (pair[:, 1] - pair[:, 0]))
    return found[0], found[1]
