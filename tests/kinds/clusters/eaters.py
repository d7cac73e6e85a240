"""A simulated restaurant with three kinds of eaters, and what pandas counts of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

NOW = datetime(2026, 3, 2, 20, tzinfo=UTC)  # a Monday
CATEGORIES = ("Salads", "Pizza", "Pastry")
# Per kind: hours, whether on weekends, the category that is liked, pieces, and cents of a piece.
KINDS = {"lunch": (13, False, 0, 1, 900), "dinner": (20, True, 1, 3, 1400), "breakfast": (8, False, 2, 2, 300)}


def restaurant(customers: int = 240, seed: int = 1, days: int = 200) -> dict[str, pd.DataFrame]:
    """Source tables; a customer's id begins with the kind of eater."""
    generator = np.random.default_rng(seed)
    orders, lines = [], []
    for number in range(customers):
        kind = [*KINDS][number % len(KINDS)]
        hour, weekend, liked, pieces, cents = KINDS[kind]
        for ago in generator.choice(days, size=int(generator.integers(1, 14)), replace=False):
            day = NOW - timedelta(days=int(ago))
            if generator.random() < 0.85:  # moved to a day of the kind's
                move = day.isoweekday() - 6 if weekend else max(0, day.isoweekday() - 5)
                day -= timedelta(days=move % 7)
            at = day.replace(hour=hour if generator.random() < 0.85 else int(generator.integers(7, 22)))
            at = min(at + timedelta(minutes=int(generator.integers(0, 50))), NOW)
            order, total = len(orders) + 1, 0
            for _ in range(int(generator.integers(1, 4))):
                category = liked if generator.random() < 0.8 else int(generator.integers(0, 3))
                quantity = int(generator.integers(1, pieces + 1))
                total += quantity * cents
                item = 10 * category + int(generator.integers(0, 4))
                lines.append((len(lines) + 1, order, item, quantity, f"{cents / 100:.2f}"))
            orders.append((order, f"{kind} {number:04}", f"{total / 100:.2f}", at))
    items = [(10 * place + n, f"{name} {n}", "5", name) for place, name in enumerate(CATEGORIES) for n in range(4)]
    return {
        "fact_transactions": pd.DataFrame(
            orders, columns=["transaction_id", "mobile_id", "total_amount", "created_at"], dtype=object
        ),
        "fact_transaction_items": pd.DataFrame(
            lines, columns=["id", "transaction_id", "item_id", "quantity", "price"], dtype=object
        ),
        "dim_menu_items": pd.DataFrame(items, columns=["item_id", "menu_item_name", "price", "category"], dtype=object),
    }


def counts(tables: dict[str, pd.DataFrame], windows: dict[str, list[tuple[int, int]]]) -> pd.DataFrame:
    """Per customer, by business days from 04:00 UTC; `windows` are the dayparts' minutes of the day."""
    sold = tables["fact_transactions"].copy()
    sold["cents"] = (pd.to_numeric(sold["total_amount"]) * 100).round().astype("int64")
    bought = sold[sold["cents"] >= 1].copy()
    at = pd.to_datetime(bought["created_at"], utc=True)
    bought["day"] = (at - pd.Timedelta(hours=4)).dt.normalize()
    minute = at.dt.hour * 60 + at.dt.minute
    bought["weekend"] = (bought["day"].dt.day_of_week >= 5).astype("int64")
    for name, spans in windows.items():
        bought[name] = sum(((minute >= start) & (minute < until)).astype("int64") for start, until in spans)
    grouped = bought.groupby("mobile_id")
    found = grouped[["cents", "weekend", *windows]].sum().assign(visits=grouped.size())
    gaps = bought[["mobile_id", "day"]].drop_duplicates().sort_values(["mobile_id", "day"])
    gaps["gap"] = gaps.groupby("mobile_id")["day"].diff().dt.days
    by_gap = gaps.groupby("mobile_id")["gap"]
    found["gaps"], found["gap_days"] = by_gap.count(), by_gap.sum().astype("int64")
    found["gap_squares"] = (gaps["gap"] ** 2).groupby(gaps["mobile_id"]).sum().astype("int64")
    lines = tables["fact_transaction_items"].merge(bought[["transaction_id", "mobile_id"]], on="transaction_id")
    lines = lines[lines["quantity"] > 0].merge(tables["dim_menu_items"][["item_id", "category"]], on="item_id")
    eaten = lines.groupby("mobile_id")
    found["lines"], found["items"] = eaten.size(), eaten["item_id"].nunique()
    found["units"] = 1000 * eaten["quantity"].sum().astype("int64")
    for name in CATEGORIES:
        found[name] = (lines["category"] == name).groupby(lines["mobile_id"]).sum()
    return found.sort_index()
