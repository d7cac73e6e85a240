"""The quality of predictions and clusters on a data set in the source tables' columns, by walk-forward cuts.

Everything is fitted to what was known at a cut, and compared with the thirty and ninety days after it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from analytics import behaviour, btyd, calibration, clustering, dayparts, segments, spending, training
from analytics.behaviour import Counts, Whole
from analytics.btyd_fit import Cells
from analytics.histories import RECENT, Histories

SEED = 1
CUTS = (30, 60, 90, 120, 150)  # days before the last one
CLUSTER_CUTS = (90, 120, 150, 180, 210)
DAYS = 90  # after a cut, for clusters
OFTEN = 3  # orders from which a customer's shares are more than chance
DAYPARTS = dayparts.DEFAULT_DAYPARTS


def predictions(folder: Path, timezone: str) -> pd.Series:
    """Walk-forward cuts: what was predicted on each day beside the thirty and ninety days after it; returns means."""
    daily = _occasions(folder, timezone)
    last = daily["day"].max()
    rows = []
    for back in CUTS:
        row = _cut(daily, last - pd.Timedelta(days=back), back)
        if row is not None:
            rows.append(row)
    print(f"Predictions on {folder.name}, cuts {CUTS} days before the end; means")
    means = pd.DataFrame(rows).mean()
    print(means.round(4).to_string())
    return means


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
            found[f"calibration error {days} d, bins of equal counts"] = _of_equal_counts(p[days], happened)
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


def _of_equal_counts(p: btyd.Floats, happened: np.typing.NDArray[np.bool_]) -> float:
    """The calibration error over ten bins with equally many customers, in order of their probability."""
    bins = np.array_split(np.argsort(p, kind="stable"), calibration.BINS)
    return sum(abs(float(p[each].sum()) - int(happened[each].sum())) for each in bins) / len(p)


def clusters(folder: Path, timezone: str) -> pd.Series:
    """Variance of what customers do in the next 90 days that clusters, segments and random groups explain; means.

    Behaviour is the mean R² of the shares of dayparts, categories and weekends and of the logarithms of ticket and
    basket, raw, over customers with three orders before the cut and three after it (and over all in a cluster with an
    order after it). Orders are those of all customers in a cluster, none included. R² is adjusted for the number of
    groups: 1 - (1 - R²)(n - 1)/(n - groups), by which random groups explain nothing on average; "unadjusted" is not.
    """
    sold, lines = _orders(folder, timezone)
    categories = sorted(lines["category"].dropna().unique())
    last = sold["day"].max()
    rows = [_clustered(sold, lines, categories, last - pd.Timedelta(days=back)) for back in CLUSTER_CUTS]
    print(f"Clusters on {folder.name}, the {DAYS} days after cuts {CLUSTER_CUTS} days before the end; means")
    means = pd.DataFrame(rows).mean()
    print(means.round(4).to_string())
    return means


def _orders(folder: Path, timezone: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    sold, lines, menu = (pd.read_parquet(folder / f"{name}.parquet") for name in ("transactions", "items", "menu"))
    sold = sold[sold["mobile_id"].notna() & (sold["mobile_id"] != "")].copy()
    local = pd.to_datetime(sold["created_at"], utc=True).dt.tz_convert(timezone).dt.tz_localize(None)
    sold["day"] = (local - pd.Timedelta(hours=4)).dt.normalize()
    sold["weekend"] = (sold["day"].dt.day_of_week >= 5).astype("int64")
    sold["cents"] = (pd.to_numeric(sold["total_amount"]) * 100).round().astype("int64")
    clock = (local - local.dt.normalize()) // pd.Timedelta(microseconds=1)
    for each in DAYPARTS:
        inside = [(clock >= start) & (clock < until) for start, until in each.windows]
        sold[each.label] = np.any(inside, axis=0).astype("int64")
    lines["quantity"] = pd.to_numeric(lines["quantity"])
    lines["category"] = lines["item_id"].map(menu.drop_duplicates("item_id").set_index("item_id")["category"])
    return sold, lines[lines["quantity"] > 0]


def _counts(sold: pd.DataFrame, lines: pd.DataFrame, categories: list[str]) -> tuple[pd.Index, Counts]:
    """The customers with a purchase, and what their visits come to."""
    bought = sold[sold["cents"] >= 1]
    visits = bought.groupby("mobile_id")
    ids = visits.size().index
    days = bought[["mobile_id", "day"]].drop_duplicates().sort_values(["mobile_id", "day"])
    days["gap"] = days.groupby("mobile_id")["day"].diff().dt.days
    gaps = days.groupby("mobile_id")["gap"]
    eaten = lines.merge(bought[["transaction_id", "mobile_id"]], on="transaction_id")
    eater, of_category = eaten["mobile_id"], eaten.groupby(["mobile_id", "category"]).size().unstack(fill_value=0)

    def whole(column: pd.Series | pd.DataFrame) -> Whole:
        return column.reindex(ids).fillna(0).to_numpy().astype(np.int64)

    return ids, Counts(
        visits=whole(visits.size()),
        refunds=whole(sold[sold["cents"] < 0].groupby("mobile_id").size()),
        cents=whole(visits["cents"].sum()),
        weekend=whole(visits["weekend"].sum()),
        dayparts=whole(visits[[each.label for each in DAYPARTS]].sum()),
        categories=whole(of_category.reindex(columns=categories, fill_value=0)),
        lines=whole(eaten.groupby(eater).size()),
        units=whole((1000 * eaten["quantity"]).groupby(eater).sum()),
        items=whole(eaten.groupby(eater)["item_id"].nunique()),
        gaps=whole(gaps.count()),
        gap_days=whole(gaps.sum()),
        gap_squares=whole((days["gap"] ** 2).groupby(days["mobile_id"]).sum()),
    )


def _clustered(sold: pd.DataFrame, lines: pd.DataFrame, categories: list[str], cut: pd.Timestamp) -> dict[str, float]:
    names, generator = [each.label for each in DAYPARTS], np.random.default_rng(SEED)
    past = sold[sold["day"] <= cut]
    ids, known = _counts(past, lines, categories)
    hashes = [hashlib.md5(mobile_id.encode(), usedforsecurity=False).hexdigest() for mobile_id in ids]
    sample = [place for place in np.argsort(hashes) if known.visits[place] >= 3]
    scale = behaviour.fit_scale(_of(known, sample), names, categories)
    points = behaviour.features(known, scale, names, categories)
    chosen = clustering.choose(points[sample], None, SEED)
    group, _ = clustering.nearest(points, clustering.fit(points[sample], chosen.k, SEED))
    columns = {"cluster": group, "random": generator.permutation(group), "visits": known.visits}
    members = pd.DataFrame(columns, index=ids)[known.visits >= 2].join(_segments(past, cut))
    after, then = _counts(sold[(sold["day"] > cut) & (sold["day"] <= cut + pd.Timedelta(days=DAYS))], lines, categories)
    found: dict[str, float] = {"clusters": chosen.k, "stability": chosen.stability}
    there = members.reindex(after).dropna()
    often = pd.Series(then.visits, index=after).loc[there.index].ge(OFTEN) & there["visits"].ge(OFTEN)
    did = pd.DataFrame(_behaviour(then), index=after)
    for whose, who in (("", there[often]), (", all with an order", there)):
        for name in ("cluster", "segment", "random"):
            explained = [_regressed(column.loc[who.index], [who[name]]) for _, column in did.items()]
            plain, adjusted = pd.DataFrame(explained).mean()
            found[f"behaviour by {name}{whose}"] = adjusted
            found[f"behaviour by {name}{whose}, unadjusted"] = plain
    orders = pd.Series(then.visits, index=after).reindex(members.index).fillna(0).astype(float)
    for rfm, groups in (("segment", ["segment"]), ("R, F and M", ["r", "f", "m"])):
        for name in ("", "cluster", "random"):
            plain, adjusted = _regressed(orders, [members[each] for each in (*groups, name) if each])
            found[f"orders by {rfm}{f' with {name}' if name else ''}"] = adjusted
            found[f"orders by {rfm}{f' with {name}' if name else ''}, unadjusted"] = plain
    return found


def _of(counts: Counts, places: list[int]) -> Counts:
    return Counts(**{name: column[places] for name, column in vars(counts).items()})


def _segments(past: pd.DataFrame, cut: pd.Timestamp) -> pd.DataFrame:
    """Each customer's scores and segment."""
    bought = past[past["cents"] >= 1].groupby("mobile_id")
    measures = {"r": -(cut - bought["day"].max()).dt.days, "f": bought.size()}
    measures["m"] = past.groupby("mobile_id")["cents"].sum().reindex(measures["f"].index)
    scored = pd.DataFrame(
        {
            name: 1 + sum((each > each.quantile(q)).astype(int) for q in (0.2, 0.4, 0.6, 0.8))
            for name, each in measures.items()
        }
    )
    code = scored.astype(str).sum(axis=1)
    return scored.assign(segment=code.map(dict(zip(segments.CODES, segments.load_map(None).segments, strict=True))))


def _behaviour(then: Counts) -> dict[str, np.typing.NDArray[np.float64]]:
    """Shares of dayparts and categories from 1 % on, and of weekends; logarithms of ticket and basket."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = {f"d{place}": column / then.visits for place, column in enumerate(then.dayparts.T)}
        shares |= {f"c{place}": column / then.lines for place, column in enumerate(then.categories.T)}
        shares = {name: share for name, share in shares.items() if np.nanmean(share) >= 0.01}
        basket = np.where(then.units > 0, np.log(then.units / then.visits), np.nan)
        return shares | {
            "weekend": then.weekend / then.visits,
            "ticket": np.log(then.cents / then.visits),
            "basket": basket,
        }


def _regressed(column: pd.Series, groups: list[pd.Series]) -> tuple[float, float]:
    """R² of a regression on the groups, and the same adjusted for their number; NaN where there is nothing to say."""
    column = column.dropna()
    total = float(((column - column.mean()) ** 2).sum())
    if not total:
        return np.nan, np.nan
    dummies = [pd.get_dummies(group.loc[column.index], drop_first=True, dtype=float) for group in groups]
    design = np.column_stack([np.ones(len(column)), *dummies])
    rest = column - design @ np.linalg.lstsq(design, column, rcond=None)[0]
    left = float((rest**2).sum()) / total
    return 1 - left, 1 - left * (len(column) - 1) / (len(column) - design.shape[1])
