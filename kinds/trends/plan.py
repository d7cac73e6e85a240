"""Planning a trends run: what its series follow from, its parts, and which days are complete."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from analytics.daily import Categories
from kinds import dayparts
from kinds.base import Draft
from settings import Settings
from source import reading, touched
from source.menu import excluded_items, read_menu
from source.ranges import has_index, key_ranges
from source.window import EPOCH, Plan, date_of
from store import ledger
from store.models import Part

FIRST_DAY = (date(1900, 1, 1) - EPOCH).days  # what is dated before is no business day
NO_CATEGORY = "(none)"
ITEMS_OF_A_SHARD = 150  # so that a part fits about two thousand series
TOTALS_SHARD = 0  # totals, dayparts, categories and hours; items are in the others


def plan(settings: Settings, crm: reading.Connection) -> dict[str, Any]:
    """What the series follow from."""
    tables = ("fact_transactions", "fact_transaction_items", "dim_menu_items")
    columns = {table: reading.column_types(crm, table) for table in tables}
    weighed = columns["fact_transaction_items"]["quantity"] not in reading.INTEGERS
    by_category: dict[str, list[int]] = {}
    menu = read_menu(crm)
    for item, row in menu.items():
        by_category.setdefault(NO_CATEGORY if row.category is None else row.category, []).append(item)
    return ({"quantity_unit": 1000} if weighed else {}) | {
        "lookback_days": 0,
        "cohorts_by_day": True,  # so that plans of versions that counted them by month differ
        "forecast_days": settings.forecast_days,
        "columns": columns,
        "dayparts": dayparts.planned(crm),
        "categories": dict(sorted(by_category.items())),
        "excluded_items": excluded_items(menu, settings.menu_exclude),
        "item_shards": -(-len(menu) // ITEMS_OF_A_SHARD) or 1,
    }


def parts(draft: Draft) -> list[Part]:
    """Chunks of transactions, shards of customers, shards of series, and the look at all series together."""
    draft.plan["incomplete_from"] = _incomplete_from(draft).isoformat()
    tables = ("fact_transactions", "fact_transaction_items")
    chunks = key_ranges(
        draft.crm,
        "transaction_id",
        None,
        indexed=all(has_index(draft.crm, table, "transaction_id") for table in tables),
    )
    customers = key_ranges(draft.crm, "mobile_id", None, indexed=has_index(draft.crm, "fact_transactions", "mobile_id"))
    run_id = draft.run.run_id
    return [
        *(
            Part(run_id=run_id, stage=stage, part=number, lower=lower, upper=upper)
            for stage, ranges in (("tally", chunks), ("visits", customers))
            for number, (lower, upper) in enumerate(ranges)
        ),
        *(Part(run_id=run_id, stage="fit", part=shard) for shard in range(draft.plan["item_shards"] + 1)),
        Part(run_id=run_id, stage="compare", part=0),
    ]


def changed(draft: Draft) -> list[Part]:
    """A part for the orders of the changed business days, and one for the customers from the first of them on.

    Whether a customer is new on a day follows from earlier days, so it may change on all days from there on.
    """
    plan = draft.plan
    plan["incomplete_from"] = _incomplete_from(draft).isoformat()
    days: list[int] = []
    first = date.min if plan["recompute_all"] else None
    if not plan["recompute_all"]:
        days = touched.days(draft.crm, plan, ledger.keys(draft.session, plan["since"]["ledger"]))
        first = None if not days else date.min if days[0] < FIRST_DAY else date_of(days[0])
    plan["days"] = [date_of(day).isoformat() for day in days if day >= FIRST_DAY]
    plan["visits_from"] = None if first is None else first.isoformat()
    return [Part(run_id=draft.run.run_id, stage=stage, part=0) for stage in ("tally", "visits")]


def _incomplete_from(draft: Draft) -> date:
    """The first business day that may still get orders: that of `as_of`, or the next one.

    An `as_of` that was given as a date is that date's last instant, and means the whole day.
    """
    today = date.fromisoformat(draft.plan["business_date"])
    second_later = touched.as_of(draft.plan).astimezone(ZoneInfo(draft.plan["timezone"])) + timedelta(seconds=1)
    return today + timedelta(days=1) if draft.run.as_of_given and second_later.date() > today else today


def shard_of(plan: Plan, item: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    """The shard of series that an item's are in."""
    return 1 + item % plan["item_shards"]


def categories(plan: Plan) -> tuple[Categories, list[str]]:
    """Which item is in which category, and the categories' names by number."""
    names = list(plan["categories"])
    if NO_CATEGORY not in names:
        names.append(NO_CATEGORY)
    pairs = sorted((item, names.index(name)) for name, items in plan["categories"].items() for item in items)
    items, numbers = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    excluded = np.array(plan["excluded_items"], dtype=np.int64)
    return Categories(items, numbers, names.index(NO_CATEGORY), excluded), names
