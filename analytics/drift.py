"""Drift: whether today's customers are still similar to those that a model was trained on.

The population stability index (PSI) of ten bins: the sum of (actual - expected) * ln(actual / expected) over shares.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BINS = 10
FOLK_LIMIT = 0.1
CHANCE = 21.67  # the 99 % point of chi-squared with nine degrees of freedom, as n * PSI of equal populations has it


def edges(values: NDArray[np.float64]) -> list[float]:
    """At most nine increasing edges of about ten equal bins; a value equal to an edge is in the bin above it."""
    if not len(values):
        return []
    found = np.quantile(values, np.arange(1, BINS) / BINS, method="inverted_cdf")
    return [float(edge) for edge in np.unique(found) if edge > values.min()]


def counts(values: NDArray[np.float64], at: Sequence[float]) -> list[int]:
    """The number of values in each bin between the edges."""
    found: NDArray[np.int64] = np.bincount(np.searchsorted(np.array(at), values, side="right"), minlength=len(at) + 1)
    return [int(count) for count in found]


def psi(expected: Sequence[int], actual: Sequence[int]) -> float:
    """The index of two counts over the same bins; an empty bin counts as half a case."""
    shares = []
    for count in (expected, actual):
        filled = np.maximum(np.array(count, dtype=np.float64), 0.5)
        shares.append(filled / filled.sum())
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()) if len(expected) > 1 else 0.0


def limit(expected: Sequence[int], actual: Sequence[int]) -> float:
    """The index above which the change is significant for samples of these sizes."""
    return max(FOLK_LIMIT, CHANCE * (1 / max(1, sum(expected)) + 1 / max(1, sum(actual))))
