"""`python -m bench.models`: fitting and scoring predictions and clusters beside their peers, in one run.

Repeat buying beside lifetimes and, where it is installed, pymc-marketing (its maximum a posteriori); clusters beside
scikit-learn on all rows; and the quality of predictions on data sets in the source tables' columns, by walk-forward
cuts. CPU seconds of this process, and its greatest memory.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analytics import btyd, btyd_fit, calibration, clustering, spending, training
from analytics.btyd import Whole
from analytics.btyd_fit import Cells
from analytics.histories import RECENT, Histories

SEED = 1
CUTS = (30, 60, 90, 120, 150)  # days before the last one


def main() -> None:
    """Run all or one of the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--peers", type=int, default=20_000, help="customers that slow peers get")
    parser.add_argument("--data", nargs=2, action="append", default=[], metavar=("FOLDER", "TIMEZONE"))
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    repeat_buying(chosen.customers, chosen.peers)
    clusters(chosen.customers)
    for folder, timezone in chosen.data:
        quality(Path(folder), timezone)
    print(f"greatest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


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


def repeat_buying(customers: int, peers: int) -> None:
    """Fit and score, ours on all customers, peers on as many as they can be waited for."""
    print(f"Repeat buying, {customers:,} customers (MBG/NBD)")
    x, t_x, t = simulated(customers)

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
    few = (x[:peers], t_x[:peers], t[:peers])
    print(f"  peers, {peers:,} of them:")
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

        frame = pd.DataFrame({"customer_id": range(peers), "frequency": few[0], "recency": few[1], "T": few[2]})
        timed("pymc-marketing: maximum a posteriori", lambda: ModifiedBetaGeoModel(frame).fit(method="map"))
    except ImportError:
        print("  pymc-marketing is not installed")


def clusters(customers: int) -> None:
    """Find clusters in a sample and assign everybody, beside k-means on all rows."""
    from sklearn.cluster import KMeans

    print(f"Clusters, {customers:,} customers × 20 features, 6 clusters")
    generator = np.random.default_rng(SEED)
    centres = generator.normal(0, 1200, (6, 20))
    of = generator.integers(0, 6, customers)
    points = np.clip(np.rint(centres[of] + generator.normal(0, 900, (customers, 20))), -3000, 3000).astype(np.int64)
    found = timed("ours: fit on 50,000", lambda: clustering.fit(points[:50_000], 6, SEED))
    place, _ = timed("ours: assign all, exactly", lambda: clustering.nearest(points, found))
    timed("ours: how many there are, on 8,000", lambda: clustering.choose(points, None, SEED))
    theirs = timed(
        "scikit-learn: k-means on all rows",
        lambda: KMeans(6, n_init=10, random_state=SEED).fit(points.astype(np.float64)),
    )
    print(f"  adjusted Rand index of the two: {clustering.adjusted_rand(place, theirs.labels_.astype(np.int64)):.4f}")


def quality(folder: Path, timezone: str) -> None:
    """Walk-forward cuts: what was predicted on each day beside the thirty and ninety days after it."""
    daily = _occasions(folder, timezone)
    last = daily["day"].max()
    rows = []
    for back in CUTS:
        row = _cut(daily, last - pd.Timedelta(days=back), back)
        if row is not None:
            rows.append(row)
    print(f"Predictions on {folder.name}, cuts {CUTS} days before the end; means")
    print(pd.DataFrame(rows).mean().round(4).to_string())


def _occasions(folder: Path, timezone: str) -> pd.DataFrame:
    sold = pd.read_parquet(folder / "transactions.parquet")
    local = pd.to_datetime(sold["created_at"], utc=True).dt.tz_convert(timezone).dt.tz_localize(None)
    sold["day"] = (local - pd.Timedelta(hours=4)).dt.normalize()
    sold["cents"] = (pd.to_numeric(sold["total_amount"]) * 100).round().astype("int64")
    known = sold[sold["mobile_id"].notna() & (sold["mobile_id"] != "") & (sold["cents"] >= 1)]
    return known.groupby(["mobile_id", "day"])["cents"].sum().reset_index()


def _cut(daily: pd.DataFrame, cut: pd.Timestamp, back: int) -> dict[str, float] | None:
    past = daily[daily["day"] <= cut].assign(ago=lambda frame: (cut - frame["day"]).dt.days)
    ids = pd.Series(np.random.default_rng(SEED).permutation(past["mobile_id"].unique()))
    place = pd.Series(ids.index, index=ids)
    past = past.assign(owner=past["mobile_id"].map(place)).sort_values(["owner", "ago"], ascending=[True, False])
    grouped, recent = past.groupby("owner"), past[past["ago"] < RECENT]
    older = past[past["ago"] >= RECENT].groupby("owner")["ago"].min().reindex(range(len(ids))).fillna(-1)
    columns = (grouped["ago"].max(), grouped.size(), older, recent["owner"], recent["ago"])
    known = Histories(*(np.asarray(column, dtype=np.int64) for column in columns))
    occasions = known.occasions
    now = known.at(0)
    if not training.enough(len(now.x), int((now.x > 0).sum()), int(now.t.max())):
        return None
    total = grouped["cents"].sum().to_numpy()
    repeat = total - grouped["cents"].first().to_numpy()
    model = training.train(known, Cells.of(now.x, now.t_x, now.t), None, None, SEED).model
    p = model.p_order(now.x, now.t_x, now.t)
    after = daily[daily["day"] > cut].assign(ago=lambda frame: (frame["day"] - cut).dt.days)
    after = after[after["mobile_id"].isin(place.index)].assign(owner=lambda frame: frame["mobile_id"].map(place))
    found: dict[str, float] = {}
    recency = -(now.t - now.t_x).astype(np.float64)
    for days in (30, 90):
        if back >= days:
            happened = np.zeros(len(ids), dtype=bool)
            happened[after["owner"][after["ago"] <= days]] = True
            found[f"AUC {days} d"] = calibration.auc(p[days], happened) or np.nan
            found[f"AUC of recency alone {days} d"] = calibration.auc(recency, happened) or np.nan
            found[f"calibration error {days} d"] = calibration.calibration_error(p[days], happened)
    if back >= 90:
        alive = btyd.p_alive(model.parameters, now.x, now.t_x, now.t)
        worth = spending.occasion_value(
            spending.fit(now.x, repeat, float(total.sum() / occasions.sum())), now.x, repeat
        )
        value = alive * btyd.expected_orders(model.parameters, now.x, now.t, 90) * worth
        soon = after[after["ago"] <= 90]
        revenue = np.bincount(soon["owner"], soon["cents"], len(ids))
        tenth = len(ids) // 10
        for name, ranked in (("expected value", value), ("past revenue", total)):
            best = np.argsort(-ranked, kind="stable")[:tenth]
            found[f"revenue of the top tenth by {name}"] = float(revenue[best].sum() / revenue.sum())
        first_after = soon.groupby("owner")["ago"].min()
        came = first_after.index.to_numpy()[p[90][first_after.index] >= 0.2]
        low, high = (
            np.ceil(btyd.next_order(model.parameters, now.x[came], now.t[came], 90, quantile))
            for quantile in (0.1, 0.9)
        )
        actual = first_after[came].to_numpy()
        found["next order within its range"] = float(((actual >= low) & (actual <= high)).mean())
    return found


if __name__ == "__main__":
    main()
