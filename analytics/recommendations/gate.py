"""The gate: which method is published, decided by the backtest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.recommendations.evaluation import METHODS, Outcomes, z_of

Whole = NDArray[np.int64]
Real = NDArray[np.float64]

LEAST_CUSTOMERS = 200  # with two visits
Z = 2.0  # standard errors by which a method must be better


@dataclass(frozen=True)
class Quality:
    """The quality of a method's lists of ten items, averaged over the folds.

    `recall`, `ndcg` and `hit_rate` are measured on the visits that followed; `recall_error` is the standard error of
    `recall`; `repeat_share` is the share of hits that the customer had ordered before, `coverage` the share of items
    that are in at least one list; `z` is the gain minus that of the better of the simpler methods, in standard errors.
    """

    method: str
    customers: int
    recall: float
    recall_error: float
    ndcg: float
    hit_rate: float
    repeat_share: float
    coverage: float
    z: float
    published: bool


def quality(
    folds: Sequence[Mapping[str, Outcomes]], customers: Sequence[Whole], *, learners: int, items: int
) -> list[Quality]:
    """Each method's quality, and which method is published.

    `folds` has the outcomes of each fold, `customers` the numbers of its customers, `learners` is the number of
    customers with at least two visits.
    """
    ndcg = {method: _mean([fold[method].gain for fold in folds]) for method in METHODS}
    z = {
        "daypart": z_of(_differences(folds, customers, "daypart", "global")),
        "global": 0.0,
    }
    simpler = "daypart" if ndcg["daypart"] >= ndcg["global"] else "global"
    z["personal"] = z_of(_differences(folds, customers, "personal", simpler))
    enough = learners >= LEAST_CUSTOMERS
    personal, daypart = enough and z["personal"] > Z, enough and z["daypart"] > Z
    published = {"personal": personal, "daypart": daypart, "global": not personal and not daypart}
    count = len(np.unique(np.concatenate([*customers, np.empty(0, dtype=np.int64)])))
    return [
        Quality(
            method,
            count,
            _mean([fold[method].recall for fold in folds]),
            _error([fold[method].recall for fold in folds]),
            ndcg[method],
            _mean([fold[method].hits > 0 for fold in folds]),
            _share([fold[method].old_hits for fold in folds], [fold[method].hits for fold in folds]),
            float(np.mean([len(fold[method].listed) / max(items, 1) for fold in folds])) if folds else 0.0,
            z[method],
            published[method],
        )
        for method in METHODS
    ]


def _differences(folds: Sequence[Mapping[str, Outcomes]], customers: Sequence[Whole], method: str, other: str) -> Real:
    """Per customer one method's gain minus another's, averaged over the folds."""
    if not folds:
        return np.empty(0)
    gains = np.concatenate([fold[method].gain - fold[other].gain for fold in folds])
    _, place = np.unique(np.concatenate(customers), return_inverse=True)
    counts = np.bincount(place)
    found: Real = np.bincount(place, gains) / counts
    return found


def _mean(values: Sequence[Real | NDArray[np.bool_]]) -> float:
    """The mean of the means of the folds that have a value."""
    means = [float(np.mean(each)) for each in values if len(each)]
    return float(np.mean(means)) if means else 0.0


def _share(parts: Sequence[Whole], wholes: Sequence[Whole]) -> float:
    whole = sum(int(each.sum()) for each in wholes)
    return sum(int(each.sum()) for each in parts) / whole if whole else 0.0


def _error(values: Sequence[Real]) -> float:
    """The standard error of the mean of the folds' means."""
    several = [each for each in values if len(each) > 1]
    variances = [float(each.var(ddof=1)) / len(each) for each in several]
    return float(np.sqrt(sum(variances))) / len(several) if several else 0.0
