"""A simulated shop with returning and lost customers, and their histories computed with pandas."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

TODAY = datetime(2026, 3, 2, 20, tzinfo=UTC)


def orders(customers: int = 320, days: int = 400, seed: int = 1) -> pd.DataFrame:
    """Transactions of customers with rates, lives and spending of their own; ids rise with time."""
    generator, rows = np.random.default_rng(seed), []
    for number in range(customers):
        first, rate = generator.integers(0, days), generator.gamma(0.8, 1 / 20)
        life, mean = generator.exponential(200), generator.gamma(4, 5)
        times = [float(first), *(first - np.cumsum(generator.exponential(1 / rate, 60)))]
        for ago in times:
            if ago >= 0 and first - ago <= life:
                cents = max(1, round(100 * generator.gamma(6, mean / 6)))
                rows.append((f"c{number:04}", cents, TODAY - timedelta(days=ago, hours=generator.uniform(0, 9))))
    frame = pd.DataFrame(rows, columns=["mobile_id", "cents", "created_at"]).sort_values("created_at")
    frame.insert(0, "transaction_id", range(1, len(frame) + 1))
    return frame.assign(total_amount=[f"{cents / 100:.2f}" for cents in frame.pop("cents")])


def tables(transactions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """As source tables."""
    return {"fact_transactions": transactions[["transaction_id", "mobile_id", "total_amount", "created_at"]]}


def histories(transactions: pd.DataFrame, as_of: datetime = TODAY) -> pd.DataFrame:
    """x, t_x, t and the cents of repeat occasions per customer, by business days from 04:00 UTC."""
    frame = transactions.assign(cents=(pd.to_numeric(transactions["total_amount"]) * 100).round().astype("int64"))
    frame = frame[(frame["cents"] >= 1) & (frame["created_at"] <= as_of) & frame["mobile_id"].notna()]
    day = (pd.to_datetime(frame["created_at"], utc=True) - pd.Timedelta(hours=4)).dt.normalize()
    today = (pd.Timestamp(as_of) - pd.Timedelta(hours=4)).normalize()
    daily = frame.assign(ago=(today - day).dt.days).groupby(["mobile_id", "ago"], as_index=False)["cents"].sum()
    grouped = daily.groupby("mobile_id")
    first = daily[daily["ago"] == grouped["ago"].transform("max")].set_index("mobile_id")["cents"]
    found = pd.DataFrame(
        {
            "x": grouped.size() - 1,
            "t_x": grouped["ago"].max() - grouped["ago"].min(),
            "t": grouped["ago"].max(),
            "repeat_cents": grouped["cents"].sum() - first,
        }
    )
    return found.sort_index()
