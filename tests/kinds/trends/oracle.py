"""The daily series, hours and cohorts by the contract's words alone, with pandas: what trends are held against."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

from tests.oracle import Rules, cents, instant, line_cents

NO_CATEGORY = "(none)"
Series = dict[tuple[str, str], dict[date, float]]


def sales(transactions: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """The transactions in the run's window that can be used."""
    rows = []
    for row in transactions.itertuples():
        at, amount = instant(row.created_at), cents(row.total_amount)
        if at is None or amount is None or at > rules.as_of:
            continue
        customer = None if row.mobile_id is None or row.mobile_id == "" else row.mobile_id
        clock, daypart = rules.wall_clock(at), rules.daypart(at)
        rows.append(
            (
                row.transaction_id,
                customer,
                amount,
                amount >= 1,
                rules.business_date(at),
                None if daypart is None else str(daypart),
                clock,
            )
        )
    columns = ["transaction_id", "customer", "cents", "counted", "day", "daypart", "clock"]
    return pd.DataFrame(rows, columns=columns).astype({"customer": object, "daypart": object})


def lines(items: pd.DataFrame, sold: pd.DataFrame, categories: Mapping[int, str | None]) -> pd.DataFrame:
    """The lines that count, with their transaction's day and daypart."""
    counted = sold[sold["counted"]].set_index("transaction_id")
    rows = []
    for row in items.itertuples():
        amount = line_cents(row.quantity, row.price)
        if row.transaction_id not in counted.index or row.item_id is None or amount is None:
            continue
        if not Decimal(str(row.quantity)) > 0:
            continue
        sale = counted.loc[row.transaction_id]
        category = categories.get(row.item_id) or NO_CATEGORY
        rows.append((row.transaction_id, str(row.item_id), category, amount, sale["day"], sale["daypart"]))
    columns = ["transaction_id", "item", "category", "cents", "day", "daypart"]
    return pd.DataFrame(rows, columns=columns).astype({"daypart": object, "item": object})


def series(
    transactions: pd.DataFrame, items: pd.DataFrame, rules: Rules, categories: Mapping[int, str | None]
) -> Series:
    """Every metric and dimension by business date."""
    sold = sales(transactions, rules)
    if sold.empty:
        return {}
    days = pd.Index([d.date() for d in pd.date_range(min(sold["day"]), max(sold["day"]))], dtype=object)
    found: Series = {}

    def put(metric: str, dimension: Any, values: pd.Series, unit: int = 1) -> None:
        whole = values.reindex(days, fill_value=0)
        if dimension != "":
            if not (whole != 0).any():
                return
            whole = whole.loc[whole.ne(0).idxmax() :]
        found[metric, str(dimension)] = {day: value / unit for day, value in whole.items()}

    counted = sold[sold["counted"]]
    known = counted[counted["customer"].notna()]
    first = known.groupby("customer")["day"].min()
    of_day = known.groupby("day")["customer"].nunique()
    new = first.value_counts()
    put("orders", "", counted.groupby("day").size())
    put("revenue", "", sold.groupby("day")["cents"].sum(), 100)
    put("guest_orders", "", counted[counted["customer"].isna()].groupby("day").size())
    put("known_customers", "", of_day)
    put("new_customers", "", new)
    put("returning_customers", "", of_day.sub(new, fill_value=0))
    per_day = counted.groupby("day")["cents"]
    found["average_ticket", ""] = {
        day: total / 100 / size for day, total, size in per_day.agg(["sum", "size"]).itertuples()
    }
    for daypart, its in counted.groupby("daypart"):
        put("daypart_orders", daypart, its.groupby("day").size())
    for daypart, its in sold.groupby("daypart"):
        put("daypart_revenue", daypart, its.groupby("day")["cents"].sum(), 100)
    ordered = lines(items, sold, categories)
    for name, column in (("item", "item"), ("category", "category")):
        for of, its in ordered.groupby(column):
            put(f"{name}_orders", of, its.groupby("day")["transaction_id"].nunique())
            put(f"{name}_revenue", of, its.groupby("day")["cents"].sum(), 100)
    for (item, daypart), its in ordered.groupby(["item", "daypart"]):
        put("item_daypart_orders", f"{item}:{daypart}", its.groupby("day")["transaction_id"].nunique())
    return found


def hours(transactions: pd.DataFrame, rules: Rules, days: int) -> dict[tuple[int, int], tuple[int, float]]:
    """Orders and revenue by the local clock's weekday and hour, of the last `days` business days with a sale."""
    sold = sales(transactions, rules)
    if sold.empty:
        return {}
    recent = sold[sold["day"] > max(sold["day"]) - timedelta(days=days)]
    places = [(clock.isoweekday(), clock.hour) for clock in recent["clock"]]
    return {
        place: (int(its["counted"].sum()), int(its["cents"].sum()) / 100)
        for place, its in recent.groupby(pd.Series(places, index=recent.index, dtype=object))
    }


def cohorts(transactions: pd.DataFrame, rules: Rules) -> dict[tuple[date, int], tuple[int, int, int]]:
    """By month of the first purchase and months since: customers of the cohort, those who came, and cents."""
    sold = sales(transactions, rules)
    known = sold[sold["customer"].notna()]
    if known.empty:
        return {}
    first = {customer: min(its["day"]).replace(day=1) for customer, its in known[known["counted"]].groupby("customer")}
    sizes = pd.Series(list(first.values()), dtype=object).value_counts()
    came: dict[tuple[date, int], set[str]] = {}
    revenue: dict[tuple[date, int], int] = {}
    for row in known.itertuples():
        if row.customer not in first:
            continue
        cohort = first[row.customer]
        since = 12 * (row.day.year - cohort.year) + row.day.month - cohort.month
        if since >= 0:
            revenue[cohort, since] = revenue.get((cohort, since), 0) + row.cents
            came.setdefault((cohort, since), set())
            if row.counted:
                came[cohort, since].add(row.customer)
    return {place: (int(sizes[place[0]]), len(came[place]), total) for place, total in revenue.items()}
