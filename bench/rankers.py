"""Methods that recommendations are compared with: each ranks items for customers from their past visits; long, since
all methods are here.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.calendar import Calendar
from analytics.dayparts import DAY, DEFAULT_DAYPARTS
from analytics.recommendations.evaluation import fitted, next_visits, outcomes, z_of
from analytics.recommendations.evaluation import of_scores as judged
from analytics.recommendations.gate import Z
from analytics.recommendations.histories import Histories
from analytics.recommendations.model import Model
from analytics.recommendations.parameters import Parameters
from analytics.recommendations.profiles import profiles
from analytics.recommendations.scoring import score
from analytics.recommendations.tuning import tuned

Whole = NDArray[np.int64]
Real = NDArray[np.float64]
EPOCH = 946_684_800_000_000  # 2000-01-01 in microseconds
DAYPARTS = len(DEFAULT_DAYPARTS) + 1
QUANTILES = (0.6, 0.7, 0.8, 0.9)
DAY_START = 4 * 3_600_000_000


@dataclass(frozen=True)
class Orders:
    """A data set's visits, and the instants at which its folds begin and end."""

    known: Histories
    guests: Histories
    item_ids: Whole
    cuts: list[int]


@dataclass(frozen=True)
class Fold:
    """The visits before a cut, and the next visit of each of these customers."""

    known: Histories
    guests: Histories
    before: Histories
    targets: Histories
    customers: Whole
    item_ids: Whole


def load(folder: Path, zone: str) -> Orders:
    """A folder's counted visits, by the contract's rules; times are in `zone`."""
    sold = pd.read_parquet(folder / "transactions.parquet")
    sold = sold[sold.total_amount >= 0.005].reset_index(drop=True)
    lines = pd.read_parquet(folder / "items.parquet")
    lines = lines[(lines.quantity > 0) & lines.price.notna()]
    lines = lines.merge(sold.assign(place=np.arange(len(sold)))[["transaction_id", "place"]], on="transaction_id")
    lines = lines.drop_duplicates(["place", "item_id"]).sort_values("place", kind="stable")
    counts = lines.item_id.value_counts()
    ids = np.array(sorted(counts.index, key=lambda item: (-counts[item], item)), dtype=np.int64)
    codes = lines.item_id.map(pd.Series(np.arange(len(ids)), index=ids)).to_numpy()
    utc = sold.created_at.dt.tz_convert("UTC").dt.tz_localize(None)
    local = sold.created_at.dt.tz_convert(zone).dt.tz_localize(None)
    instants, walls = (each.astype("datetime64[us]").astype("int64").to_numpy() - EPOCH for each in (utc, local))
    windows = [{"daytime_id": place, "windows": each.windows} for place, each in enumerate(DEFAULT_DAYPARTS)]
    dayparts = Calendar.of(windows, DAY_START, np.array([-(10**6)]), np.zeros(1, dtype=np.int64), 1).cells(walls)
    names, customers = np.unique(sold.mobile_id.fillna("").to_numpy(dtype=str), return_inverse=True)

    def histories(mine: NDArray[np.bool_], numbers: Whole, count: int) -> Histories:
        places = lines.place.to_numpy()
        return Histories.of_rows(
            numbers[mine],
            instants[mine],
            sold.transaction_id.to_numpy()[mine],
            ((walls - DAY_START) // DAY)[mine],
            np.where(dayparts < 0, DAYPARTS - 1, dayparts)[mine],
            np.bincount(places, minlength=len(mine))[mine],
            codes[mine[places]],
            count,
        )

    is_guest = names[customers] == ""
    known = histories(~is_guest, customers, len(names))
    guests = histories(is_guest, np.zeros(len(sold), dtype=np.int64), 1)
    times = np.sort(known.times)
    cuts = [_day_start(int(times[int(quantile * (len(times) - 1))]), zone) for quantile in QUANTILES]
    return Orders(known, guests, ids, [*cuts, 1 << 62])


def _day_start(instant: int, zone: str) -> int:
    day = pd.Timestamp(instant + EPOCH, unit="us", tz="UTC").tz_convert(ZoneInfo(zone)).normalize()
    return int(day.tz_convert("UTC").value // 1000) - EPOCH


def folds(orders: Orders) -> list[Fold]:
    """The four folds."""
    found = []
    for start, until in zip(orders.cuts[:-1], orders.cuts[1:], strict=True):
        target = next_visits(orders.known, start, until)
        chosen = np.zeros(orders.known.customers, dtype=bool)
        chosen[orders.known.visitors[target]] = True
        known = orders.known.before(start)
        targets = orders.known.of_visits(target).of_customers(chosen)
        mine = np.flatnonzero(chosen)
        found.append(
            Fold(known, orders.guests.before(start), known.of_customers(chosen), targets, mine, orders.item_ids)
        )
    return found


def fit(fold: Fold, parameters: Parameters) -> Model:
    """Our model of what was before the cut."""
    counts = {"items": len(fold.item_ids), "dayparts": DAYPARTS}
    return fitted(fold.known, fold.guests, parameters, item_ids=fold.item_ids, **counts)[0]


def ours(fold: Fold) -> tuple[float, float]:
    """Ours: tuned on what was before the cut, and gated by the last visits there."""
    half = np.arange(fold.known.customers) % 2 == 0
    counts = {"items": len(fold.item_ids), "dayparts": DAYPARTS}
    parameters, _ = tuned(fold.known, fold.guests, half, item_ids=fold.item_ids, **counts)
    last = fold.known.last_visits() & (fold.known.visits >= 2)[fold.known.visitors]
    chosen = np.zeros(fold.known.customers, dtype=bool)
    chosen[fold.known.visitors[last]] = True
    earlier = fold.known.of_visits(~last)
    gate, made = fitted(earlier, fold.guests, parameters, item_ids=fold.item_ids, **counts)
    result = outcomes(gate, made.of_customers(chosen), fold.known.of_visits(last).of_customers(chosen))
    better = max(("daypart", "global"), key=lambda method: result[method].gain.mean())
    personal = z_of(result["personal"].gain - result[better].gain) > Z
    before = profiles(fold.before, parameters)
    found = outcomes(fit(fold, parameters), before, fold.targets)["personal" if personal else better]
    return float(found.recall.mean()), float(found.gain.mean())


def defaults(fold: Fold) -> tuple[float, float]:
    """Ours with the parameters that nothing was tuned for."""
    return _of_method(fold, "personal")


def by_daypart(fold: Fold) -> tuple[float, float]:
    """Popularity in the daypart of the visit."""
    return _of_method(fold, "daypart")


def overall(fold: Fold) -> tuple[float, float]:
    """Popularity at all times of day."""
    return _of_method(fold, "global")


def _of_method(fold: Fold, method: str) -> tuple[float, float]:
    found = outcomes(fit(fold, Parameters()), profiles(fold.before, Parameters()), fold.targets)[method]
    return float(found.recall.mean()), float(found.gain.mean())


def own_counts(fold: Fold) -> tuple[float, float]:
    """The customer's most ordered items; ties, and the remaining places, by popularity."""
    model = fit(fold, Parameters())
    scores = _matrix(fold, model) + model.popularity[-1] / 10
    return _judged(fold, model, scores)


def als(fold: Fold) -> tuple[float, float]:
    """Alternating least squares of the package `implicit`, with its defaults."""
    from implicit.als import AlternatingLeastSquares

    return _implicit(fold, AlternatingLeastSquares(random_state=1))


def tfidf(fold: Fold) -> tuple[float, float]:
    """Nearest neighbours by TF-IDF of the package `implicit`, with its defaults."""
    from implicit.nearest_neighbours import TFIDFRecommender

    return _implicit(fold, TFIDFRecommender())


def _implicit(fold: Fold, recommender: Any) -> tuple[float, float]:
    from scipy.sparse import csr_matrix

    model = fit(fold, Parameters())
    made = profiles(fold.known, Parameters())
    shape = (made.customers, len(fold.item_ids))
    counts = csr_matrix((made.counts.astype(np.float32), (made.owners, model.places[made.items])), shape=shape)
    recommender.fit(counts, show_progress=False)
    ids, _ = recommender.recommend(fold.customers, counts[fold.customers], N=10, filter_already_liked_items=False)
    scores = np.zeros((len(fold.customers), shape[1]))
    found = ids >= 0
    rows = np.repeat(np.arange(len(ids))[:, None], ids.shape[1], axis=1)
    ranks = np.broadcast_to(np.arange(ids.shape[1], 0, -1), ids.shape)  # their order, whatever their values
    scores[rows[found], ids[found]] = ranks[found]
    return _judged(fold, model, scores)


def lightgbm(fold: Fold) -> tuple[float, float]:
    """LightGBM's LambdaMART over our features, learned from each customer's last visit before the cut."""
    from lightgbm import Dataset, train

    last = fold.known.last_visits() & (fold.known.visits >= 2)[fold.known.visitors]
    chosen = np.zeros(fold.known.customers, dtype=bool)
    chosen[fold.known.visitors[last]] = True
    learned = Fold(
        fold.known.of_visits(~last),
        fold.guests,
        fold.known.of_visits(~last).of_customers(chosen),
        fold.known.of_visits(last).of_customers(chosen),
        np.flatnonzero(chosen),
        fold.item_ids,
    )
    features, wanted, groups, *_ = _candidates(learned)
    options = {"objective": "lambdarank", "learning_rate": 0.05, "num_leaves": 31, "seed": 1, "verbose": -1}
    ranker = train(options | {"num_threads": 2}, Dataset(features, wanted, group=groups), num_boost_round=200)
    features, _, groups, rows, places, model = _candidates(fold)
    scores = np.full((len(groups), len(fold.item_ids)), -1e6)
    scores[rows, places] = ranker.predict(features)
    return _judged(fold, model, scores)


def _candidates(fold: Fold) -> tuple[Real, Whole, Whole, Whole, Whole, Model]:
    """Features of the hundred items with our highest scores of each customer, and whether the visit has them."""
    model = fit(fold, Parameters())
    made = profiles(fold.before, Parameters())
    scored = score(model, made, fold.targets.dayparts)
    width = min(100, scored.scores.shape[1])
    places = np.argsort(-scored.scores, axis=1, kind="stable")[:, :width]
    rows = np.repeat(np.arange(len(places)), width)
    flat = places.ravel()
    counts, weights, ages = (np.zeros_like(scored.scores) for _ in range(3))
    owners, own = made.owners, model.places[made.items]
    counts[owners, own], weights[owners, own] = made.counts, made.weights
    ages[owners, own] = made.days
    popularity = model.popularity[fold.targets.dayparts]
    columns: list[NDArray[Any]] = [
        each[rows, flat] for each in (scored.scores, scored.together, counts, weights, ages, popularity)
    ]
    columns += [model.popularity[-1][flat], model.rebuy[flat], made.visits[rows]]
    wanted = np.zeros(scored.scores.shape, dtype=np.int64)
    wanted[fold.targets.line_visits, model.places[fold.targets.items]] = 1
    groups = np.full(len(places), width)
    return np.stack(columns, axis=1).astype(np.float64), wanted[rows, flat], groups, rows, flat, model


def _matrix(fold: Fold, model: Model) -> Real:
    made = profiles(fold.before, Parameters())
    counts = np.zeros((made.customers, len(fold.item_ids)))
    counts[made.owners, model.places[made.items]] = made.counts
    return counts


def _judged(fold: Fold, model: Model, scores: Real) -> tuple[float, float]:
    wanted = np.zeros(scores.shape, dtype=bool)
    wanted[fold.targets.line_visits, model.places[fold.targets.items]] = True
    found = judged(scores, wanted, np.zeros_like(wanted))
    return float(found.recall.mean()), float(found.gain.mean())


RANKERS: dict[str, Callable[[Fold], tuple[float, float]]] = {
    "ours, tuned and gated": ours,
    "ours, defaults": defaults,
    "own counts": own_counts,
    "daypart popularity": by_daypart,
    "global popularity": overall,
    "implicit ALS": als,
    "implicit TFIDF": tfidf,
    "LightGBM, our features": lightgbm,
}


def in_a_process(name: str, folder: str, zone: str) -> dict[str, Any]:
    """Mean recall and gain of a method over the folds, its seconds and the peak memory of its process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (name, folder, zone))


def _measured(name: str, folder: str, zone: str) -> dict[str, Any]:
    ready = folds(load(Path(folder), zone))
    began = time.perf_counter()
    try:
        found = [RANKERS[name](fold) for fold in ready]
    except ImportError as missing:
        return {"not installed": missing.name}
    recall, gain = (float(np.mean(each)) for each in zip(*found, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    result = {"recall": round(recall, 4), "ndcg": round(gain, 4), "last fold": [round(each, 4) for each in found[-1]]}
    return result | {"seconds": round(time.perf_counter() - began, 1), "peak MB": peak}
