"""Choosing parameters by how well models rank the held-out last visits of half of the customers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analytics.recommendations.evaluation import outcomes
from analytics.recommendations.histories import Histories
from analytics.recommendations.model import Model, model, popularity_of, recalibrated
from analytics.recommendations.parameters import Parameters, grid
from analytics.recommendations.profiles import Profiles, profiles
from analytics.recommendations.tallies import pairs_of, tally

Whole = NDArray[np.int64]
Real = NDArray[np.float64]

CELLS = 1_000_000  # customers × items for each evaluation
LEAST_JUDGED = 1_000  # customers, if there are enough
ROUNDS = 1_000  # of the bootstrap
CONFIDENCE = 0.8  # of the two-sided interval


def tuned(
    histories: Histories,
    guests: Histories,
    half: NDArray[np.bool_],
    *,
    items: int,
    dayparts: int,
    item_ids: Whole,
) -> tuple[Parameters, float]:
    """The parameters with the highest recall + gain at 10, and that sum; ties: the first in the grid.

    `half` marks the held-out customers; those with at least two visits are evaluated.
    """
    judged = half & (histories.visits >= 2)
    most = max(LEAST_JUDGED, CELLS // max(items, 1))
    judged[np.flatnonzero(judged)[most:]] = False
    target = histories.last_visits() & judged[histories.visitors]
    known = histories.of_visits(~target)
    visits = histories.of_visits(target).of_customers(judged)
    orders, transactions = (
        mine + others
        for mine, others in zip(
            popularity_of(known, items=items, dayparts=dayparts),
            popularity_of(guests, items=items, dayparts=dayparts),
            strict=True,
        )
    )
    segments, pairs = np.zeros(known.customers, dtype=np.int64), None
    fitted: Model | None = None
    fits: dict[tuple[int, int], tuple[Model, Profiles]] = {}
    chosen, highest = Parameters(), -1.0
    for each in grid():
        form = each.half_life, each.prior
        if form not in fits:
            made = profiles(known, each)
            pairs = pairs_of(made, items) if pairs is None else pairs
            counted = tally(
                made, segments, parameters=each, items=items, dayparts=dayparts, most_segments=1, pairs=pairs
            )
            everything = np.ones(items, dtype=bool)
            fitted = fitted or model(
                counted, orders, transactions, item_ids=item_ids, available=everything, parameters=each
            )
            fits[form] = recalibrated(fitted, counted, each), made.of_customers(judged)
        fit, before = fits[form]
        found = outcomes(replace(fit, parameters=each), before, visits)["personal"]
        sums = round(float(found.recall.mean() + found.gain.mean()), 9) if len(found.recall) else 0.0
        if sums > highest:
            chosen, highest = each, sums
    return chosen, highest


def is_better(differences: Real, seed: int) -> bool:
    """Whether the lower end of the mean difference's bootstrap interval is above 0."""
    if not len(differences):
        return False
    chance = np.random.default_rng(seed)
    means = [differences[chance.integers(0, len(differences), len(differences))].mean() for _ in range(ROUNDS)]
    return float(np.quantile(means, (1 - CONFIDENCE) / 2)) > 0
