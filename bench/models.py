"""`python -m bench.models`: fitting and scoring predictions and clusters beside their peers, in one run.

Repeat buying beside lifetimes and, where it is installed, pymc-marketing (its maximum a posteriori); clusters beside
scikit-learn on all rows; and the quality of both on data sets in the source tables' columns (bench/quality.py). Each
part is a process of its own: its CPU seconds, and its peak memory with and without its input.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analytics import btyd, btyd_fit, clustering
from analytics.btyd import Whole
from analytics.btyd_fit import Cells
from bench import quality

SEED = 1
SHARDS = 16


def main() -> None:
    """Run all or one of the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--peers", type=int, default=20_000, help="customers that slow peers get")
    parser.add_argument("--data", nargs=2, action="append", default=[], metavar=("FOLDER", "TIMEZONE"))
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    apart(repeat_buying, chosen.customers)
    apart(peers, chosen.peers)
    apart(clusters, chosen.customers)
    apart(all_rows, chosen.customers)
    for folder, timezone in chosen.data:
        apart(quality.predictions, Path(folder), timezone)
        apart(quality.clusters, Path(folder), timezone)


def apart(part: Callable[..., object], *arguments: Any) -> None:
    """Do a part of the comparison in a process of its own, and print its peak memory."""
    process = multiprocessing.get_context("spawn").Process(target=_measured, args=(part, *arguments))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


def _measured(part: Callable[..., object], *arguments: Any) -> None:
    warnings.simplefilter("ignore")
    part(*arguments)
    print(f"  {'peak memory':<58} {peak():8,.0f} MB", flush=True)


def peak() -> float:
    """The peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def timed(name: str, work: Callable[[], Any]) -> Any:
    """The result; prints its CPU seconds."""
    begun = time.process_time()
    result = work()
    print(f"  {name:<58} {time.process_time() - begun:8.2f} s")
    return result


def simulated(customers: int) -> tuple[Whole, Whole, Whole]:
    """Histories of customers of an MBG/NBD shop that is two years old."""
    generator = np.random.default_rng(SEED)
    t = generator.integers(0, 730, customers)
    rate, leaving = generator.gamma(0.8, 1 / 25, customers), generator.beta(0.9, 2.5, customers)
    x, last = np.zeros(customers, dtype=np.int64), np.zeros(customers)
    active = generator.random(customers) >= leaving
    while active.any():
        after = last + generator.exponential(1 / rate)
        active &= after <= t
        x[active] += 1
        last[active] = after[active]
        active &= generator.random(customers) >= leaving
    return x, np.floor(last).astype(np.int64), t


def repeat_buying(customers: int) -> None:
    """Fit and score."""
    x, t_x, t = simulated(customers)
    print(f"Repeat buying, {customers:,} customers (MBG/NBD); memory with the input alone {peak():,.0f} MB")

    def fit() -> btyd.Parameters:
        return btyd_fit.fit(Cells.of(x, t_x, t), "mbg")

    def score() -> np.typing.NDArray[np.float64]:
        cells = Cells.of(x, t_x, t)
        alive = btyd.p_alive(model, cells.x, cells.t_x, cells.t)
        btyd.p_order(model, alive, cells.x, cells.t, 90)
        return alive * btyd.expected_orders(model, cells.x, cells.t, 90)

    fit_of_few = Cells.of(x[:100], t_x[:100], t[:100])
    btyd_fit.fit(fit_of_few, "mbg")  # SciPy is loaded
    model = timed("ours: fit", fit)
    timed("ours: p_alive, p_order, expected orders", score)


def peers(customers: int) -> None:
    """Fit as many customers as slow peers can be waited for."""
    print(f"Repeat buying beside peers, {customers:,} customers")
    few = simulated(customers)
    btyd_fit.fit(Cells.of(*(column[:100] for column in few)), "mbg")  # SciPy is loaded
    ours = timed("ours: fit", lambda: btyd_fit.fit(Cells.of(*few), "mbg"))
    try:
        from lifetimes import ModifiedBetaGeoFitter

        fitter = timed("lifetimes: fit", lambda: ModifiedBetaGeoFitter().fit(*few))
        timed(
            "lifetimes: expected orders",
            lambda: fitter.conditional_expected_number_of_purchases_up_to_time(90, *few),
        )
        theirs = [float(fitter.params_[name]) for name in ("r", "alpha", "a", "b")]
        found = [ours.r, ours.alpha, ours.a, ours.b]
        print(f"  greatest relative difference of the parameters: {np.abs(np.divide(found, theirs) - 1).max():.1e}")
    except ImportError:
        print("  lifetimes is not installed")
    try:
        from pymc_marketing.clv import ModifiedBetaGeoModel

        frame = pd.DataFrame({"customer_id": range(customers), "frequency": few[0], "recency": few[1], "T": few[2]})
        timed("pymc-marketing: maximum a posteriori", lambda: ModifiedBetaGeoModel(frame).fit(method="map"))
    except ImportError:
        print("  pymc-marketing is not installed")


def eaters(customers: int) -> Whole:
    """Features of customers in six groups."""
    generator = np.random.default_rng(SEED)
    centres = generator.normal(0, 1200, (6, 20))
    points = generator.normal(0, 900, (customers, 20))
    points += centres[generator.integers(0, 6, customers)]
    return np.clip(np.rint(points, out=points), -3000, 3000, out=points).astype(np.int64)


def clusters(customers: int) -> None:
    """Find clusters in a sample and assign everybody."""
    points = eaters(customers)
    print(f"Clusters, {customers:,} customers × 20 features, 6 clusters; memory with the input alone {peak():,.0f} MB")
    clustering.fit(points[:100], 6, SEED)  # scikit-learn is loaded
    timed("ours: how many there are, on 5,000", lambda: clustering.choose(points, None, SEED))
    found = timed("ours: fit on 50,000", lambda: clustering.fit(points[:50_000], 6, SEED))

    def assign() -> None:
        for shard in np.array_split(points, SHARDS):
            clustering.nearest(shard, found)

    timed(f"ours: assign all, exactly, in {SHARDS} shards", assign)


def all_rows(customers: int) -> None:
    """scikit-learn's k-means on all rows, and how similar ours on a sample is."""
    from sklearn.cluster import KMeans

    points = eaters(customers)
    print(f"Clusters beside scikit-learn on all rows, {customers:,} customers")
    theirs = timed(
        "scikit-learn: k-means on all rows",
        lambda: KMeans(6, n_init=10, random_state=SEED).fit(points.astype(np.float64)),
    )
    place, _ = clustering.nearest(points, clustering.fit(points[:50_000], 6, SEED))
    print(f"  adjusted Rand index of the two: {clustering.adjusted_rand(place, theirs.labels_.astype(np.int64)):.4f}")


if __name__ == "__main__":
    main()
