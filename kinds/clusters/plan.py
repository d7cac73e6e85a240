"""What a run of clusters depends on, beside the orders."""

from __future__ import annotations

from collections import Counter
from typing import Any

from analytics import dayparts
from analytics.dayparts import Daypart
from analytics.segments import load_map
from postgres import scalar
from settings import Settings
from source import reading
from source.menu import read_menu

CATEGORIES = 60  # with the most items; the others are no features
# A hash of the items' categories: if an item gets another one, its former buyers have to be counted again.
_MENU = (
    "SELECT md5(coalesce(string_agg(item_id || ' ' || category, ',' ORDER BY item_id), '')) FROM"
    " (SELECT item_id, max(category) AS category FROM dim_menu_items GROUP BY item_id) AS menu WHERE category = ANY(%s)"
)


def plan(settings: Settings, crm: reading.Connection) -> dict[str, Any]:
    """Everything that clusters depend on, besides the orders: excluded customers, dayparts and categories."""
    excluded = load_map(settings.segment_map).excluded
    tables = ("fact_transactions", "fact_transaction_items", "dim_menu_items")
    categories = _categories(crm)
    return ({"excluded": list(excluded)} if excluded else {}) | {
        "lookback_days": 0,
        "shards": settings.rfm_shards,
        "clusters": settings.clusters,
        "columns": {table: reading.column_types(crm, table) for table in tables},
        "dayparts": _dayparts(crm),
        "categories": categories,
        "menu": scalar(crm, _MENU, categories),
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
