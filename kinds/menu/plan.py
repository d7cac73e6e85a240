"""Planning a menu run: the rules and types that its ranks depend on, its chunks of transactions, and its dayparts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from analytics.margins import Costs
from analytics.tallies import LineRules
from kinds import dayparts
from kinds.base import Draft
from kinds.menu import rows
from kinds.menu.rules import quantity_unit
from settings import Settings
from source import reading, touched
from source.menu import excluded_items, read_menu
from source.ranges import has_index, key_ranges
from source.window import Plan
from store import ledger
from store.models import Part


def plan(settings: Settings, crm: reading.Connection) -> dict[str, Any]:
    """Everything that the ranks depend on."""
    tables = ("fact_transactions", "fact_transaction_items", "dim_menu_items")
    columns = {table: reading.column_types(crm, table) for table in tables}
    # Only rules that are used are in the plan, so that it equals the plans of versions without these rules.
    own: dict[str, Any] = {"rank_by": settings.menu_rank_by} if settings.menu_rank_by != "orders" else {}
    own |= {"min_orders": settings.menu_min_orders} if settings.menu_min_orders > 1 else {}
    if settings.menu_exclude or settings.menu_rank_by == "margin":
        menu = read_menu(crm)
        excluded = excluded_items(menu, settings.menu_exclude)
        own |= {"excluded_items": excluded} if excluded else {}
        if settings.menu_rank_by == "margin":
            own["costs"] = {str(item): str(row.cost) for item, row in menu.items() if row.cost is not None}
    # For integers the plan has no unit, so that it equals the plans of versions without units.
    weighed = columns["fact_transaction_items"]["quantity"] not in reading.INTEGERS
    return (
        own
        | ({"quantity_unit": 1000} if weighed else {})
        | {
            "lookback_days": settings.menu_lookback_days,
            "top_n": settings.top_n,
            "by_weekday": True,
            "columns": columns,
            "dayparts": dayparts.planned(crm),
        }
    )


def line_rules(plan: Plan) -> LineRules:
    """Which lines a run counts, and which of their values."""
    excluded = np.array(plan.get("excluded_items", []), dtype=np.int64)
    if plan.get("rank_by") != "margin":
        return LineRules(excluded)
    costs = {int(item): Decimal(cost) for item, cost in plan["costs"].items()}
    return LineRules(excluded, Costs.of(costs, quantity_unit(plan)))


def chunks(draft: Draft) -> list[Part]:
    """A part to tally for each range of transaction ids, and one to rank for each daypart."""
    tables = ("fact_transactions", "fact_transaction_items")
    indexed = all(has_index(draft.crm, table, "transaction_id") for table in tables)
    return [
        Part(run_id=draft.run.run_id, stage="tally", part=number, lower=lower, upper=upper)
        for number, (lower, upper) in enumerate(key_ranges(draft.crm, "transaction_id", None, indexed=indexed))
    ] + [Part(run_id=draft.run.run_id, stage="rank", part=daypart["daytime_id"]) for daypart in draft.plan["dayparts"]]


def changed(draft: Draft) -> list[Part]:
    """One part for the changed business days, which are added to the plan."""
    plan = draft.plan
    plan["daily_after"] = plan["since"]["daily_after"]  # the published buckets stay; each new day gets one
    if plan["recompute_all"]:
        plan["day_buckets"] = rows.day_buckets(draft.session, plan["since"]["generation"])
    else:
        plan["day_buckets"] = touched.day_buckets(draft.crm, plan, ledger.keys(draft.session, plan["since"]["ledger"]))
    return [Part(run_id=draft.run.run_id, stage="tally", part=0)]
