"""Days that are far from what was expected the day before."""

from __future__ import annotations

import numpy as np

from analytics.forecasts import median
from analytics.smoothing import Flags, Reals

LIMIT = 3.5  # robust standard deviations
NORMAL = 1.4826  # the standard deviation of a normal distribution ÷ its median absolute deviation
RESIDUALS = 56  # days before
LEAST_RESIDUALS = 28
EXPECTED = 20.0  # below this a day's random variation is too large to detect anomalies


def anomalies(values: Reals, one_step: Reals, used: Flags, last: int) -> Flags:
    """(series, last): whether each of the last days is an anomaly.

    Parameters
    ----------
    values, one_step
        (series, days): the values, and the values expected the day before.
    used
        (series, days): whether the day counts; a closed one does not.
    last
        How many of the last days to look at.
    """
    days = values.shape[1]
    residuals = np.where(used, values - one_step, np.nan)
    found = np.zeros((len(values), min(last, days)), dtype=bool)
    for place, day in enumerate(range(days - found.shape[1], days)):
        before = residuals[:, max(0, day - RESIDUALS) : day]
        if before.shape[1] < LEAST_RESIDUALS:
            continue
        enough = (~np.isnan(before)).sum(axis=1) >= LEAST_RESIDUALS
        centre = median(before)
        spread = NORMAL * median(np.abs(before - centre[:, None]))
        expected = one_step[:, day]
        limit = LIMIT * np.maximum(spread, np.sqrt(np.maximum(expected, 0)))
        with np.errstate(invalid="ignore"):
            odd = np.abs(residuals[:, day]) > limit
        found[:, place] = enough & (expected >= EXPECTED) & odd
    return found
