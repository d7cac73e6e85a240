"""The daily series that forecasts are compared on: counted from source tables in files, with pandas alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ZONES = {"counter": "America/New_York", "online_retail": "Europe/London"}  # UTC elsewhere
DAY_STARTS = pd.Timedelta(hours=4)
WINDOWS = ("00:00", "02:00", "04:00", "06:30", "10:30", "12:30", "14:30", "16:30", "18:00", "19:30", "21:30")
LEAST_DAYS, LEAST_MEAN = 84, 1.0


@dataclass(frozen=True)
class Daily:
    """Daily series, (series, days), with the metric of each; `is_open` says on which days anything was sold."""

    name: str
    metrics: list[str]
    values: NDArray[np.float64]
    first_weekday: int
    is_open: NDArray[np.bool_]


def read(folder: Path) -> Daily:
    """All series of totals, dayparts, categories and items with twelve weeks and a mean of at least one a day."""
    sold, lines, menu = (_table(folder, name) for name in ("transactions", "items", "menu"))
    at = pd.to_datetime(sold["created_at"], utc=True).dt.tz_convert(ZONES.get(folder.name, "UTC")).dt.tz_localize(None)
    sold["day"] = (at - DAY_STARTS).dt.normalize()
    sold["amount"] = sold["total_amount"].astype(float)
    sold["daypart"] = np.searchsorted(sorted(WINDOWS), at.dt.strftime("%H:%M").to_numpy(), side="right")
    days = pd.date_range(sold["day"].min(), sold["day"].max())
    counted = sold[sold["amount"] >= 0.005]
    found: dict[tuple[str, str], pd.Series] = {
        ("orders", ""): counted.groupby("day").size(),
        ("revenue", ""): sold.groupby("day")["amount"].sum(),
        **_customers(counted),
    }
    for daypart, its in sold.groupby("daypart"):
        found["daypart_orders", str(daypart)] = its[its["amount"] >= 0.005].groupby("day").size()
        found["daypart_revenue", str(daypart)] = its.groupby("day")["amount"].sum()
    found |= _items(lines, counted, menu)
    whole = {key: values.reindex(days, fill_value=0).to_numpy(dtype=float) for key, values in found.items()}
    kept = {key: values for key, values in whole.items() if len(days) >= LEAST_DAYS and values.mean() >= LEAST_MEAN}
    metrics = [metric for metric, _ in kept]
    is_open = whole["orders", ""] > 0
    return Daily(folder.name, metrics, np.stack(list(kept.values())), int(days[0].day_of_week), is_open)


def _table(folder: Path, name: str) -> pd.DataFrame:
    parquet = folder / f"{name}.parquet"
    return (
        pd.read_parquet(parquet) if parquet.exists() else pd.read_csv(folder / f"{name}.csv", dtype={"mobile_id": str})
    )


def _customers(counted: pd.DataFrame) -> dict[tuple[str, str], pd.Series]:
    named = counted["mobile_id"].notna() & (counted["mobile_id"] != "")
    came = counted[named].drop_duplicates(["day", "mobile_id"])
    new = came.groupby("mobile_id")["day"].min().value_counts()
    known = came.groupby("day").size()
    return {
        ("guest_orders", ""): counted[~named].groupby("day").size(),
        ("known_customers", ""): known,
        ("new_customers", ""): new,
        ("returning_customers", ""): known.sub(new, fill_value=0),
    }


def _items(lines: pd.DataFrame, counted: pd.DataFrame, menu: pd.DataFrame) -> dict[tuple[str, str], pd.Series]:
    ordered = lines[lines["quantity"] > 0].merge(counted[["transaction_id", "day"]], on="transaction_id")
    ordered = ordered.merge(menu[["item_id", "category"]], on="item_id", how="left")
    ordered["amount"] = (ordered["quantity"] * ordered["price"].astype(float)).round(2)
    ordered["category"] = ordered["category"].astype(object).fillna("(none)")
    found = {}
    for metric, column in (("item", "item_id"), ("category", "category")):
        once = ordered.drop_duplicates(["transaction_id", column]).groupby([column, "day"]).size()
        revenue = ordered.groupby([column, "day"])["amount"].sum()
        for of in once.index.get_level_values(0).unique():
            found[f"{metric}_orders", str(of)] = once.loc[of]
            found[f"{metric}_revenue", str(of)] = revenue.loc[of]
    return found
