"""The model that, with a customer's profile, gives the scores of items."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analytics.recommendations.histories import Histories
from analytics.recommendations.parameters import SCALE, Parameters
from analytics.recommendations.tallies import MOST_PAIRED, Tallies

Whole = NDArray[np.int64]
Real = NDArray[np.float64]

NEIGHBOURS = 50  # of an item
SHRINK_PAIRS = 10.0
FEWEST_TOGETHER = 2  # customers behind a similarity
SHRINK_DAYPART = 200.0  # transactions
SHRINK_REBUY = 20.0  # visits
SHRINK_NEW = 20.0  # customers
SHRINK_HITS = 5.0
BLOCK = 256  # items at a time
PAIRS = 1_000_000  # at a time
DIGITS = 9  # decimals of a value by which is ordered


@dataclass(frozen=True)
class Model:
    """Arrays in the order of popularity: most orders first, then the lowest item id.

    Parameters
    ----------
    parameters
        The parameters of the fit.
    item_ids, codes
        Per place the item and its code in profiles.
    places
        Per code its place.
    available
        Whether an item may be recommended.
    orders
        Shape (dayparts + 1, items): transactions with the item, of each daypart, and of all times of day.
    popularity
        In the same shape: the shares of transactions, a daypart's shrunk towards those of all times of day.
    rebuy
        Per item the share of its buyers' later visits that have it again.
    calibration, novelty
        Per bucket of visits: hits per expected hit, and new items per visit.
    neighbours, similarity, pair_customers
        Shape (items, at most 50): the places of the most similar items, their similarity, and the number of customers
        who bought both. Without a neighbour the similarity is 0.
    """

    parameters: Parameters
    item_ids: Whole
    codes: Whole
    places: Whole
    available: NDArray[np.bool_]
    orders: Whole
    popularity: Real
    rebuy: Real
    calibration: Real
    novelty: Real
    neighbours: Whole
    similarity: Real
    pair_customers: Whole


def popularity_of(histories: Histories, *, items: int, dayparts: int) -> tuple[Whole, Whole]:
    """Orders by daypart and item, and transactions by daypart; the last daypart is the time between dayparts."""
    cells = histories.dayparts[histories.line_visits] * items + histories.items
    orders = np.bincount(cells, minlength=dayparts * items).reshape(dayparts, items)
    return orders, np.bincount(histories.dayparts, minlength=dayparts)


def model(
    tallies: Tallies,
    orders: Whole,
    transactions: Whole,
    *,
    item_ids: Whole,
    available: NDArray[np.bool_],
    parameters: Parameters,
) -> Model:
    """A model from tallies, and from orders (dayparts, items) and transactions (dayparts), including guests'.

    The last daypart is the time between dayparts; `item_ids` and `available` are by code.
    """
    all_day = orders.sum(axis=0)
    codes = np.lexsort((item_ids, -all_day))
    places = np.empty(len(codes), dtype=np.int64)
    places[codes] = np.arange(len(codes))
    by_time = np.concatenate([orders[:-1], all_day[None]])[:, codes]
    rebuy = _rebuy(tallies)
    calibration, novelty = _calibrated(tallies, rebuy, codes)
    return Model(
        parameters,
        item_ids[codes],
        codes,
        places,
        available[codes],
        by_time,
        _popularity(by_time, np.append(transactions[:-1], transactions.sum())),
        rebuy[codes],
        calibration,
        novelty,
        *_similar(tallies, codes, places),
    )


def recalibrated(known: Model, tallies: Tallies, parameters: Parameters) -> Model:
    """The model of the same customers with other parameters; `tallies` were counted with these."""
    rebuy = np.empty(len(known.codes))
    rebuy[known.codes] = known.rebuy
    calibration, novelty = _calibrated(tallies, rebuy, known.codes)
    return replace(known, parameters=parameters, calibration=calibration, novelty=novelty)


def _popularity(orders: Whole, transactions: Whole) -> Real:
    overall = orders[-1] / max(int(transactions[-1]), 1)
    shrunk = (orders[:-1] + SHRINK_DAYPART * overall) / (transactions[:-1, None] + SHRINK_DAYPART)
    return np.concatenate([shrunk, overall[None]])


def _rebuy(tallies: Tallies) -> Real:
    again, chances = int(tallies.again.sum()), int(tallies.chances.sum())
    mean = again / chances if chances else 0.0
    found: Real = (tallies.again + SHRINK_REBUY * mean) / (tallies.chances + SHRINK_REBUY)
    return found


def _calibrated(tallies: Tallies, rebuy: Real, codes: Whole) -> tuple[Real, Real]:
    """Per bucket hits per expected hit, and new items per visit; both shrunk towards those of all customers."""
    in_order = (tallies.shares * rebuy)[:, codes]  # so that the sum does not depend on the items' codes
    expected = (tallies.known + in_order.sum(axis=1)) / SCALE
    sums, hits = float(expected.sum()), int(tallies.hits.sum())
    calibration = (tallies.hits + SHRINK_HITS * (hits / sums if sums else 0.0)) / (expected + SHRINK_HITS)
    customers = tallies.learners
    mean = int(tallies.novelties.sum()) / customers if customers else 1.0
    novelty = (tallies.novelties + SHRINK_NEW * mean) / (tallies.rows + SHRINK_NEW)
    return calibration, novelty


def _similar(tallies: Tallies, codes: Whole, places: Whole) -> tuple[Whole, Real, Whole]:
    """Each item's neighbours by place, the most similar first, then those of the most popular ones."""
    size = len(codes)
    paired = codes[codes < MOST_PAIRED]  # by popularity, as all that follows
    width = min(NEIGHBOURS, len(paired))
    neighbours = np.zeros((size, width), dtype=np.int64)
    similarity = np.zeros((size, width))
    customers = np.zeros((size, width), dtype=np.int64)
    both = _both(tallies, len(paired))
    buyers = tallies.buyers[paired].astype(np.float64)
    for first in range(0, len(paired), BLOCK):
        rows = paired[first : first + BLOCK]
        counts = both[rows][:, paired]
        close = counts / (np.sqrt(buyers[first : first + BLOCK, None] * buyers) + SHRINK_PAIRS)
        close = np.where(counts >= FEWEST_TOGETHER, np.round(close, DIGITS), 0.0)
        best = highest(close, width)
        neighbours[places[rows]] = places[paired][best]
        similarity[places[rows]] = np.take_along_axis(close, best, axis=1)
        customers[places[rows]] = np.take_along_axis(counts, best, axis=1)
    return neighbours, similarity, customers


def highest(values: Real, limit: int) -> Whole:
    """Each row's places with the highest values, highest first; ties, after rounding to DIGITS, by place."""
    size = values.shape[1]
    keys = np.arange(size) - np.rint(values * 10**DIGITS).astype(np.int64) * size
    found = np.argpartition(keys, limit, axis=1)[:, :limit] if limit < size else np.argsort(keys, axis=1)
    order = np.argsort(np.take_along_axis(keys, found, axis=1), axis=1)
    ranked: Whole = np.take_along_axis(found, order, axis=1)
    return ranked


def _both(tallies: Tallies, size: int) -> NDArray[np.int32]:
    """The number of customers of each pair of items, by code."""
    found = np.zeros((size, size), dtype=np.int32)
    for first in range(0, len(tallies.pairs), PAIRS):
        pairs, customers = (each[first : first + PAIRS] for each in (tallies.pairs, tallies.pair_customers))
        left, right = pairs >> 32, pairs & 0xFFFFFFFF
        found[left, right] = customers
        found[right, left] = customers
    return found
