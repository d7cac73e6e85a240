"""Planning a run of clusters, and its customer shards."""

from __future__ import annotations

from collections import Counter
from typing import Any

from analytics import dayparts
from analytics.dayparts import Daypart
from analytics.segments import load_map
from kinds.base import Draft
from settings import Settings
from source import reading
from source.menu import read_menu
from source.ranges import has_index, key_ranges
from store.models import Part

CATEGORIES = 60  # with the most items; the others are no features


def plan(settings: Settings, crm: reading.Connection) -> dict[str, Any]:
    """Everything that clusters depend on, besides the orders: excluded customers, dayparts and categories."""
    excluded = load_map(settings.segment_map).excluded
    tables = ("fact_transactions", "fact_transaction_items", "dim_menu_items")
    return ({"excluded": list(excluded)} if excluded else {}) | {
        "lookback_days": 0,
        "shards": settings.rfm_shards,
        "clusters": settings.clusters,
        "columns": {table: reading.column_types(crm, table) for table in tables},
        "dayparts": _dayparts(crm),
        "categories": _categories(crm),
    }


def _dayparts(crm: reading.Connection) -> list[dict[str, Any]]:
    """The dayparts' windows, by unique names."""
    found = [Daypart(row.daytime_id, row.label, row.start, row.end) for row in reading.daytimes(crm)]
    dayparts.check(found)
    named = found or dayparts.DEFAULT_DAYPARTS
    labels = Counter(daypart.label for daypart in named)
    return [
        {
            "name": each.label if each.label and labels[each.label] == 1 else f"{each.label} {each.daytime_id}".strip(),
            "windows": each.windows,
        }
        for each in named
    ]


def _categories(crm: reading.Connection) -> list[str]:
    """The categories' names, as the menu has them now."""
    items = Counter(row.category for row in read_menu(crm).values() if row.category)
    return sorted(sorted(items, key=lambda name: (-items[name], name))[:CATEGORIES])


def shards(draft: Draft) -> list[Part]:
    """For each shard, customers between two ids, a part to count and one to assign; and one part for fitting."""
    indexed = has_index(draft.crm, "fact_transactions", "mobile_id")
    ranges = key_ranges(draft.crm, "mobile_id", draft.settings.rfm_shards, indexed=indexed)
    return [
        Part(run_id=draft.run.run_id, stage=stage, part=number, lower=lower, upper=upper)
        for stage in ("count", "assign")
        for number, (lower, upper) in enumerate(ranges)
    ] + [Part(run_id=draft.run.run_id, stage="fit", part=0)]
