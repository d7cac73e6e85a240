"""Planning a menu run: what its ranks follow from, its chunks of transactions, and its dayparts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analytics import dayparts
from analytics.dayparts import Daypart
from kinds.base import Draft
from kinds.menu import rows
from settings import Settings
from source import reading, touched
from source.ranges import has_index, key_ranges
from store import ledger
from store.models import Part


def plan(settings: Settings, crm: reading.Connection) -> dict[str, Any]:
    """What the ranks follow from."""
    tables = ("fact_transactions", "fact_transaction_items", "dim_menu_items")
    columns = {table: reading.column_types(crm, table) for table in tables}
    # Integers' plans name no unit, and so equal those of the versions that knew none.
    weighed = columns["fact_transaction_items"]["quantity"] not in reading.INTEGERS
    return ({"quantity_unit": 1000} if weighed else {}) | {
        "lookback_days": settings.menu_lookback_days,
        "top_n": settings.top_n,
        "columns": columns,
        "dayparts": [
            {"daytime_id": daypart.daytime_id, "label": daypart.label, "windows": daypart.windows}
            for daypart in read_dayparts(crm)
        ],
    }


def read_dayparts(crm: reading.Connection) -> Sequence[Daypart]:
    """The CRM's dayparts, checked, or the default ones where it has none."""
    found = [Daypart(row.daytime_id, row.label, row.start, row.end) for row in reading.daytimes(crm)]
    dayparts.check(found)
    return found or dayparts.DEFAULT_DAYPARTS


def chunks(draft: Draft) -> list[Part]:
    """A part to tally for each range of transaction ids, and one to rank for each daypart."""
    tables = ("fact_transactions", "fact_transaction_items")
    indexed = all(has_index(draft.crm, table, "transaction_id") for table in tables)
    return [
        Part(run_id=draft.run.run_id, stage="tally", part=number, lower=lower, upper=upper)
        for number, (lower, upper) in enumerate(key_ranges(draft.crm, "transaction_id", None, indexed=indexed))
    ] + [Part(run_id=draft.run.run_id, stage="rank", part=daypart["daytime_id"]) for daypart in draft.plan["dayparts"]]


def changed(draft: Draft) -> list[Part]:
    """One part over the changed business days, which the plan then names."""
    plan = draft.plan
    if plan["recompute_all"]:
        plan["day_buckets"] = rows.day_buckets(draft.session, plan["since"]["generation"])
    else:
        plan["day_buckets"] = touched.day_buckets(draft.crm, plan, ledger.keys(draft.session, plan["since"]["ledger"]))
    return [Part(run_id=draft.run.run_id, stage="tally", part=0)]
