"""Scoring and ranking items for customers, both for one customer at read time and for a backtest."""

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
    """Scores for some customers, in the order of the model's items.

    Parameters
    ----------
    scores
        Shape (customers, items); NOT_RANKED for items that may not be recommended.
    bought
        In the same shape: whether the customer has ordered it.
    popular, together
        In the same shape: the terms of the scores of new items.
    owners, places, weights
        Per customer and bought item: the customer, the item's place, and the sum of its orders' weights.
    """

    scores: Real
    bought: NDArray[np.bool_]
    popular: Real
    together: Real
    owners: Whole
    places: Whole
    weights: Real


def score(model: Model, profiles: Profiles, dayparts: Whole) -> Scores:
    """The scores of all items for these customers; `dayparts` has each customer's daypart, the last one for the time
    between.

    A bought item's score is the calibrated probability that the next visit has it. The expected number of new items per
    visit is divided among the others by their popularity in the daypart and by co-purchases.
    """
    parameters, size, count = model.parameters, len(model.codes), profiles.customers
    owners, places = profiles.owners, model.places[profiles.items]
    order = np.argsort(owners * size + places, kind="stable")  # so that sums do not depend on the items' codes
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
    """1 ÷ each row's sum; 0 if the sum is 0."""
    sums = np.where(which, values, 0.0).sum(axis=1)
    found: Real = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
    return found


def popular_scores(model: Model, daypart: int) -> Real:
    """The popularity of all items in a daypart, the last one for all times of day; NOT_RANKED if unavailable."""
    found: Real = np.where(model.available, np.round(model.popularity[daypart], DIGITS), NOT_RANKED)
    return found


def best(scores: Real, limit: int) -> Whole:
    """The places of the items with the highest scores, highest first; ties by popularity, then id."""
    found = highest(scores[None], min(limit, len(scores)))[0]
    ranked: Whole = found[scores[found] > NOT_RANKED]
    return ranked
