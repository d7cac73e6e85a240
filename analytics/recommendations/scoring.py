"""Scores of items for customers, and rankings of them: for one customer at read time as for a whole backtest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.recommendations.model import DIGITS, Model, highest
from analytics.recommendations.parameters import SCALE, buckets
from analytics.recommendations.profiles import Profiles

Whole = NDArray[np.int64]
Real = NDArray[np.float64]

NOT_RANKED = -1.0


@dataclass(frozen=True)
class Scores:
    """Of some customers, in the order of the model's items.

    Parameters
    ----------
    scores
        Shape (customers, items); NOT_RANKED where an item is not to be recommended.
    bought
        Of the same shape: whether the customer has ordered it.
    popular, together
        Of the same shape: the terms of the scores of new items.
    owners, places, weights
        Per customer and bought item: the customer, the item's place, and what its orders count.
    """

    scores: Real
    bought: NDArray[np.bool_]
    popular: Real
    together: Real
    owners: Whole
    places: Whole
    weights: Real


def score(model: Model, profiles: Profiles, dayparts: Whole) -> Scores:
    """The scores of all items for these customers; `dayparts` has each one's daypart, the last one for none.

    A bought item's is the calibrated rate at which the customer's next visit has it; all new ones share the new items
    that a visit has, by their popularity in the daypart and by what buyers of the customer's items took as well.
    """
    parameters, size, count = model.parameters, len(model.codes), profiles.customers
    owners, places = profiles.owners, model.places[profiles.items]
    order = np.argsort(owners * size + places, kind="stable")  # how items are coded must not show in sums
    owners, places, weights = owners[order], places[order], profiles.weights[order] / SCALE
    flat = owners * size + places
    bucket = buckets(profiles.visits)
    total = parameters.total_weights(profiles.visits) / SCALE
    rates = (weights + parameters.prior * model.rebuy[places]) / (total[owners] + parameters.prior)
    own = np.zeros(count * size)
    own[flat] = model.calibration[bucket[owners]] * rates
    bought = np.zeros((count, size), dtype=bool)
    bought[owners, places] = True
    near = (owners[:, None] * size + model.neighbours[places]).ravel()
    close = (weights[:, None] * model.similarity[places]).ravel()
    others: Real = np.bincount(near, close, minlength=count * size).astype(np.float64).reshape(count, size)
    new = ~bought & model.available
    novelty = model.novelty[bucket]
    popularity = model.popularity[dayparts if parameters.by_daypart else np.full(count, -1)]
    popular = (novelty * (1 - parameters.together) * _per(popularity, new))[:, None] * popularity
    together: Real = (novelty * parameters.together * _per(others, new))[:, None] * others
    scores = own.reshape(count, size) + np.where(new | parameters.bought_too, popular + together, 0.0)
    scores = np.where(model.available, np.round(scores, DIGITS), NOT_RANKED)
    return Scores(scores, bought, popular, together, owners, places, weights)


def _per(values: Real, which: NDArray[np.bool_]) -> Real:
    """One ÷ each row's sum of these; 0 where that is 0."""
    sums = np.where(which, values, 0.0).sum(axis=1)
    found: Real = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
    return found


def popular_scores(model: Model, daypart: int) -> Real:
    """The popularity of all items in a daypart, the last one for all times of day; NOT_RANKED where not available."""
    found: Real = np.where(model.available, np.round(model.popularity[daypart], DIGITS), NOT_RANKED)
    return found


def best(scores: Real, limit: int) -> Whole:
    """The places of the items with the highest scores, highest first; equal ones by popularity, then the lowest id."""
    found = highest(scores[None], min(limit, len(scores)))[0]
    ranked: Whole = found[scores[found] > NOT_RANKED]
    return ranked
