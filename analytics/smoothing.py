"""Exponential smoothing with a weekly season, of many daily series at once, on the logarithm of the value plus one.

One pass over the days gives the state on every day, so a backtest from eight days takes about as long as one forecast.
A series' numbers do not depend on other series: all computations are elementwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]

# Rates of the level and of the season.
FIXED = ((0.03, 0.05), (0.08, 0.05), (0.2, 0.05))
GRID = tuple(product((0.02, 0.05, 0.1, 0.2, 0.35), (0.03, 0.1, 0.2)))
MEMORY = 0.99  # of the squared errors by which a series chooses from the grid: half of them within 69 days
WARM_UP = 28  # days that the first level and season are taken from


@dataclass(frozen=True)
class Smoothed:
    """The models' expected values.

    `averaged` and `chosen` are the expected values by weekday, (7, series), as of the start of a day: the mean of the
    fixed models, and the model of the grid that has had the smallest errors so far. `one_step`, (days, series), is what
    the fixed models expected of each day the day before.
    """

    averaged: dict[int, Reals]
    chosen: dict[int, Reals]
    one_step: Reals


def smooth(values: Reals, weekdays: Whole, used: Flags, origins: Sequence[int]) -> Smoothed:
    """Smooth daily series.

    Parameters
    ----------
    values
        (series, days); what is below zero counts as zero.
    weekdays
        (days,), 0 to 6.
    used
        (series, days): whether a day is learned from; a closed day is not, nor is one before the series began.
    origins
        Days, from 0 to the number of days, at whose start the state is wanted.
    """
    logs = np.where(used, np.log1p(np.maximum(np.where(used, values, 0), 0)), 0).T.copy()
    learn = used.T.copy()
    level, season = _start(logs, learn, weekdays)
    rates = np.array([*FIXED, *GRID])
    of_level, of_season = rates[:, :1], rates[:, 1:]
    levels, seasons = np.repeat(level[None], len(rates), 0), np.repeat(season[None], len(rates), 0)
    cost = np.zeros_like(levels[len(FIXED) :])
    wanted, found = set(origins), Smoothed({}, {}, np.empty_like(logs))
    for day in range(len(logs) + 1):
        if day in wanted:
            _keep(found, day, levels, seasons, cost)
        if day == len(logs):
            break
        of_day = seasons[:, weekdays[day]]
        expected = levels + of_day
        found.one_step[day] = np.expm1(_mean(expected[: len(FIXED)]))
        errors = (logs[day] - expected) * learn[day]
        cost = np.where(learn[day], cost * MEMORY, cost) + errors[len(FIXED) :] ** 2
        levels += of_level * errors
        of_day += of_season * errors
    return found


def _start(logs: Reals, learn: Flags, weekdays: Whole) -> tuple[Reals, Reals]:
    """The first level (series,) and season (7, series), shrunk towards no season if there are few days."""
    first = learn & (np.cumsum(learn, axis=0) <= WARM_UP)
    level = _sum(logs * first) / np.maximum(first.sum(axis=0), 1)
    season = np.empty((7, logs.shape[1]))
    for weekday in range(7):
        days = weekdays == weekday
        season[weekday] = _sum((logs[days] - level) * first[days]) / (first[days].sum(axis=0) + 1)
    return level, season


def _keep(found: Smoothed, day: int, levels: Reals, seasons: Reals, cost: Reals) -> None:
    expected = np.maximum(np.expm1(levels[:, None] + seasons), 0)
    found.averaged[day] = _mean(expected[: len(FIXED)])
    best = np.argmin(np.round(cost, 9), axis=0)
    found.chosen[day] = np.take_along_axis(expected[len(FIXED) :], best[None, None, :], axis=0)[0]


def _sum(rows: Reals) -> Reals:
    """The sum over the first axis, always in the order of the rows, so that no series' sum depends on other series."""
    total = np.zeros(rows.shape[1:])
    for row in rows:
        total += row
    return total


def _mean(rows: Reals) -> Reals:
    return _sum(rows) / len(rows)
