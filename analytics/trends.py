"""Which weekly series rise or fall: Theil-Sen slopes, the Mann-Kendall test, and a bound on false discoveries.

The last 26 complete weeks are tested; if two years are known, as the logarithm of their ratio to the same weeks of the
year before, so that a yearly season is not a trend. Neighbouring weeks are autocorrelated, which makes random
variation look like a trend: the test's variance is increased by the autocorrelation of the ranks after removing the
slope (Hamed and Rao 1998), each series' own shrunk half way towards the median of all. Over all series the procedure
of Benjamini and Hochberg (1995) bounds the share of false positives among those reported as rising or falling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.forecasts import median
from analytics.smoothing import Flags, Reals, Whole

WEEK = 7
WEEKS, LEAST_WEEKS, YEAR = 26, 12, 52
SUPPORT = 5.0  # the least value of the median week
FALSE_DISCOVERIES = 0.10
CHANGE = 0.10  # the least change over the weeks that is reported as a trend

RISING, FALLING, STEADY, TOO_LITTLE = "rising", "falling", "steady", "too_little_data"


@dataclass(frozen=True)
class Weekly:
    """The statistics of each series' last weeks; arrays with one entry per series.

    `weeks` is the number of tested weeks, 0 if there are too few; `change` the fraction by which the value changed
    over them; `score` Mann and Kendall's S; `variance` that of S without autocorrelation; `autocorrelation` that of
    the ranks at lag one. `season_unknown`: less than two years are known.
    """

    weeks: Whole
    change: Reals
    score: Reals
    variance: Reals
    autocorrelation: Reals
    season_unknown: Flags


@dataclass(frozen=True)
class Trends:
    """`direction` by name, and `p_value` and `q_value`, NaN where there is too little data; one entry per series."""

    direction: NDArray[np.str_]
    p_value: Reals
    q_value: Reals


def weekly_values(values: Reals, first_weekday: int, is_open: Flags) -> Reals:
    """(series, weeks): the sum of each complete week from Monday on; NaN if a series has no value in it.

    A day on which the restaurant was closed does not count as zero; the mean of the week's other days replaces it.

    Parameters
    ----------
    values
        (series, days); NaN where a series has no value.
    first_weekday
        Of the first day, 0 for Monday.
    is_open
        (days,): whether anything was sold.
    """
    start = -first_weekday % WEEK
    weeks = max(0, (values.shape[1] - start) // WEEK)
    end = start + weeks * WEEK
    days = values[:, start:end].reshape(len(values), weeks, WEEK)
    opened = is_open[start:end].reshape(weeks, WEEK)
    usual = np.median(opened.sum(axis=1)[-WEEKS:]) if weeks else 0
    known = ~np.isnan(days) & opened
    total = np.zeros(days.shape[:2])
    for weekday in range(WEEK):
        total += np.where(known[:, :, weekday], days[:, :, weekday], 0)
    count = known.sum(axis=2)
    return np.where(count > 0, total / np.maximum(count, 1) * usual, np.nan)


def weekly(values: Reals) -> Weekly:
    """Slope, rank statistic and autocorrelation of weekly series, (series, weeks), that may begin with NaN."""
    count, known = len(values), (~np.isnan(values)).sum(axis=1)
    unknown = [np.full(count, np.nan) for _ in range(4)]
    found = Weekly(
        np.zeros(count, dtype=np.int64),
        change=unknown[0],
        score=unknown[1],
        variance=unknown[2],
        autocorrelation=unknown[3],
        season_unknown=known < 2 * YEAR,
    )
    if values.shape[1] < LEAST_WEEKS:
        return found
    recent = values[:, -WEEKS:]
    weeks = np.where(known >= LEAST_WEEKS, (~np.isnan(recent)).sum(axis=1), 0)
    for rows, of_year in ((~found.season_unknown, True), (found.season_unknown, False)):
        # Series are looked at together with those that have as many weeks; most have 26.
        for number in np.unique(weeks[rows & (weeks >= LEAST_WEEKS)]):
            which = np.flatnonzero(rows & (weeks == number))
            _fill(found, which, values[which], int(number), of_year=of_year)
    return found


def _fill(found: Weekly, which: Whole, values: Reals, number: int, *, of_year: bool) -> None:
    level = values[:, -WEEKS:][~np.isnan(values[:, -WEEKS:])].reshape(len(values), number)
    times = np.array([np.flatnonzero(~np.isnan(row)) for row in values[:, -WEEKS:]], dtype=np.float64)
    middle = median(level)
    supported = middle >= SUPPORT
    series = level
    if of_year:
        before = values[:, -WEEKS - YEAR : -YEAR]
        last_year = np.take_along_axis(before, times.astype(np.int64), axis=1)
        series = np.log(np.maximum(level, 0) + 0.5) - np.log(np.maximum(np.nan_to_num(last_year), 0) + 0.5)
    slope, score, variance, autocorrelation = _statistics(series, times)
    span = times[:, -1] - times[:, 0]
    change = np.expm1(slope * span) if of_year else slope * span / np.maximum(middle, 1e-9)
    found.weeks[which] = np.where(supported, number, 0)
    for name, numbers in (
        ("change", change),
        ("score", score),
        ("variance", variance),
        ("autocorrelation", autocorrelation),
    ):
        getattr(found, name)[which] = np.where(supported, np.round(numbers, 9), np.nan)


def _statistics(series: Reals, times: Reals) -> tuple[Reals, Reals, Reals, Reals]:
    """Slope, Mann-Kendall S, its variance with ties, and the bias-corrected lag-one autocorrelation of the ranks."""
    number = series.shape[1]
    first, second = np.triu_indices(number, 1)
    rise = series[:, second] - series[:, first]
    rise = np.where(np.abs(rise) < 1e-9, 0, rise)
    slope = median(rise / (times[:, second] - times[:, first]))
    score = np.sign(rise).sum(axis=1)  # whole numbers, so in any order
    base = number * (number - 1) * (2 * number + 5)
    sizes = (np.abs(series[:, :, None] - series[:, None, :]) < 1e-9).sum(axis=2)  # each value's ties, itself too
    tied = ((sizes - 1) * (2 * sizes + 5)).sum(axis=1)  # Σ t(t−1)(2t+5) over groups of t equal values
    detrended = np.round(series - slope[:, None] * times, 9)
    ranks = _ranks(detrended)
    ranks -= (number - 1) / 2
    product, square = np.zeros(len(series)), np.zeros(len(series))
    for week in range(number):
        square += ranks[:, week] ** 2
        if week:
            product += ranks[:, week] * ranks[:, week - 1]
    plain = np.where(square > 0, product / np.maximum(square, 1e-9), 0)
    return slope, score, (base - tied) / 18, (number * plain + 2) / (number - 4)


def _ranks(rows: Reals) -> Reals:
    """Each value's place in its row from 0 on; equal values share the mean of theirs."""
    below = (rows[:, None, :] < rows[:, :, None]).sum(axis=2)
    equal = (rows[:, None, :] == rows[:, :, None]).sum(axis=2)
    ranks: Reals = below + (equal - 1) / 2
    return ranks


def trends(found: Weekly) -> Trends:
    """Which series rise or fall, over all of them together."""
    enough = found.weeks > 0
    shared = float(np.median(found.autocorrelation[enough])) if enough.any() else 0.0
    r = np.clip(found.autocorrelation / 2 + shared / 2, 0, 0.95)
    p_value = np.full(len(enough), np.nan)
    p_value[enough] = [
        _p_value(*one)
        for one in zip(
            *(column[enough].tolist() for column in (found.score, found.variance, r, found.weeks)), strict=True
        )
    ]
    q_value = q_values(p_value)
    moves = enough & (q_value <= FALSE_DISCOVERIES) & (np.abs(found.change) >= CHANGE)
    direction = np.full(len(enough), STEADY, dtype="<U15")
    direction[moves & (found.change > 0)] = RISING
    direction[moves & (found.change < 0)] = FALLING
    direction[~enough] = TOO_LITTLE
    return Trends(direction, p_value, q_value)


def _p_value(score: float, variance: float, r: float, weeks: int) -> float:
    raised = 1 + 2 * sum((1 - lag / weeks) * r**lag for lag in range(1, weeks))
    if variance <= 0:
        return 1.0
    z = max(abs(score) - 1, 0) / math.sqrt(variance * raised)
    return round(math.erfc(z / math.sqrt(2)), 12)


def q_values(p_values: Reals) -> Reals:
    """Benjamini and Hochberg's adjusted p values of those that are not NaN."""
    found, which = np.full(len(p_values), np.nan), np.flatnonzero(~np.isnan(p_values))
    order = which[np.argsort(p_values[which], kind="stable")]
    adjusted = p_values[order] * len(order) / np.arange(1, len(order) + 1)
    found[order] = np.minimum(np.minimum.accumulate(adjusted[::-1])[::-1], 1)
    return np.round(found, 12)
