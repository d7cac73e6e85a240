"""Clusters of customers by k-means: their number, their centres, the assignment of customers, and their ids.

Features and centres are integers (analytics/behaviour.py), so that distances are exact and a customer's cluster
depends only on the centres and the customer. scikit-learn and SciPy are imported by the functions that need them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.behaviour import Floats, Whole

FEWEST, MOST = 3, 12
STARTS = 10
HALVES = 8
STABLE, KEPT = 0.85, 0.8  # the least stability of new clusters, and of as many as are in service
LEAST_SHARE = 0.03  # of customers; the least size of a cluster
CHOOSING = 5_000  # customers for choosing the number of clusters


@dataclass(frozen=True)
class Chosen:
    """A number of clusters and its stability: the mean adjusted Rand index of refits to half the customers."""

    k: int
    stability: float


def choose(points: Whole, wanted: int | None, seed: int, start: Whole | None = None) -> Chosen:
    """Choose the number of clusters: the given one, or the largest one with stable and sufficiently large clusters.

    The number of the centres in service, `start`, is kept while its stability is at least KEPT, so that their ids are
    kept. If no number is stable, the most stable one is chosen.
    """
    points = points[:CHOOSING]
    if start is not None and wanted in (None, len(start)):
        found, _ = _tried(points, len(start), seed, start)
        if wanted or found.stability >= KEPT:
            return found
    tried = [_tried(points, k, seed) for k in ([wanted] if wanted else range(FEWEST, MOST + 1)) if len(points) >= 2 * k]
    if any(good for _, good in tried):
        return [found for found, good in tried if good][-1]
    return max((found for found, _ in tried), key=lambda found: (found.stability, found.k), default=Chosen(0, 0.0))


def _tried(points: Whole, k: int, seed: int, start: Whole | None = None) -> tuple[Chosen, bool]:
    """A number of clusters, and whether they are stable and large enough."""
    centres = fit(points, k, seed, start)
    smallest = int(np.bincount(nearest(points, centres)[0], minlength=k).min())
    found = Chosen(k, _stability(points, centres, seed))
    return found, found.stability >= STABLE and smallest >= LEAST_SHARE * len(points)


def fit(points: Whole, k: int, seed: int, start: Whole | None = None) -> Whole:
    """The centres of k clusters, in thousandths; fitted from `start`, or the best of ten random starts."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        found = KMeans(
            k,
            init="k-means++" if start is None else start.astype(np.float64),
            n_init=STARTS if start is None else 1,
            random_state=seed,
        ).fit(points.astype(np.float64))
    centres: Whole = np.rint(found.cluster_centers_).astype(np.int64)
    return centres[np.lexsort(centres.T[::-1])]  # in an order that does not depend on the start


def nearest(points: Whole, centres: Whole) -> tuple[Whole, Whole]:
    """Each customer's nearest centre, the first of equally near ones, and the squared distance.

    All products are integers far below 2^53, so the matrix product in floats is exact.
    """
    squares = squared_distances(points, centres)
    place = squares.argmin(axis=1)
    return place.astype(np.int64), squares[np.arange(len(points)), place]


def squared_distances(points: Whole, centres: Whole) -> Whole:
    """The exact squared distance of every customer to every centre."""
    cross = points.astype(np.float64) @ centres.T.astype(np.float64)
    own = (points * points).sum(axis=1)[:, None] + (centres * centres).sum(axis=1)[None, :]
    found: Whole = own - 2 * cross.astype(np.int64)
    return found


def misfit(points: Whole, centres: Whole) -> Floats:
    """Per customer the distance to the nearest centre ÷ that to the second: 0 at a centre, 1 halfway between two."""
    if len(centres) < 2:
        return np.ones(len(points))
    two = np.sqrt(np.partition(squared_distances(points, centres), 1, axis=1)[:, :2].astype(np.float64))
    found: Floats = two[:, 0] / np.maximum(two[:, 1], 1.0)
    return found


def _stability(points: Whole, centres: Whole, seed: int) -> float:
    """The mean similarity to clusters that are fitted to halves of the customers, each from the centres of all.

    A retraining starts from the centres in service, too. From random starts, k-means would find other equally good
    clusters in many halves, which says little of how much the customers' clusters depend on chance.
    """
    whole, _ = nearest(points, centres)
    generator, scores = np.random.default_rng(seed), []
    for _ in range(HALVES):
        half = points[generator.permutation(len(points))[: len(points) // 2]]
        other, _ = nearest(points, fit(half, len(centres), seed, centres))
        scores.append(adjusted_rand(whole, other))
    return round(float(np.mean(scores)), 6)


def adjusted_rand(one: Whole, other: Whole) -> float:
    """The similarity of two groupings: 1 if equal, 0 on average for random ones (Hubert and Arabie, 1985)."""

    def pairs(counts: Whole) -> float:
        return float((counts.astype(np.float64) * (counts - 1) / 2).sum())

    table = np.bincount(one * (int(other.max()) + 1) + other)
    together, first, second = pairs(table), pairs(np.bincount(one)), pairs(np.bincount(other))
    chance = first * second / max(1.0, len(one) * (len(one) - 1) / 2)
    most = (first + second) / 2
    return 1.0 if most == chance else (together - chance) / (most - chance)


def matched_ids(former: Whole, former_ids: list[int], centres: Whole, next_id: int) -> list[int]:
    """An id for each centre: that of the former centre it is matched with, or a new one from `next_id` on.

    The matching minimizes the sum of the centres' movements (the Hungarian method). A centre that moved more than half
    the smallest distance between two centres gets a new id.
    """
    from scipy.optimize import linear_sum_assignment

    distances = np.sqrt(squared_distances(centres, former).astype(np.float64))
    between = np.sqrt(squared_distances(centres, centres).astype(np.float64))
    apart = between[~np.eye(len(centres), dtype=bool)].min(initial=np.inf) / 2
    rows, columns = linear_sum_assignment(distances)
    known = {
        int(row): former_ids[column]
        for row, column in zip(rows, columns, strict=True)
        if distances[row, column] <= apart
    }
    ids = []
    for place in range(len(centres)):
        if place in known:
            ids.append(known[place])
        else:
            ids.append(next_id)
            next_id += 1
    return ids
