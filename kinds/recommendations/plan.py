"""Planning a run of recommendations, and its parts."""

from __future__ import annotations

from typing import Any

from analytics.recommendations.parameters import Parameters
from analytics.recommendations.tallies import MOST_PAIRED
from kinds.base import Draft
from kinds.dayparts import read_dayparts
from kinds.recommendations.models import StoredModel
from kinds.rfm import results as rfm
from settings import Settings
from source import reading, touched
from source.menu import excluded_items, read_menu
from source.ranges import default_ranges, estimated_rows, has_index, key_ranges
from store import ledger, runs, versions
from store.models import Part

FOLDS = 4

# Plan entries that may differ without any effect on recommendations.
OF_ONE_RUN = frozenset({"shards", "folds", "parameters", "day_buckets"})


def plan(settings: Settings, crm: reading.Connection) -> dict[str, Any]:
    """Everything that recommendations depend on, besides the orders."""
    tables = ("fact_transactions", "fact_transaction_items", "dim_menu_items")
    return {
        "lookback_days": settings.recommendation_lookback_days,
        "columns": {table: reading.column_types(crm, table) for table in tables},
        "excluded_items": excluded_items(read_menu(crm), settings.menu_exclude) if settings.menu_exclude else [],
        "top_n": settings.top_n,
        "dayparts": [
            {"daytime_id": daypart.daytime_id, "label": daypart.label, "windows": daypart.windows}
            for daypart in read_dayparts(crm)
        ],
    }


def parts(draft: Draft) -> list[Part]:
    """A part for each range of transactions, shard of customers and fold, and one that sums everything.

    With few orders one part does all folds.
    """
    tables = ("fact_transactions", "fact_transaction_items")
    indexed = all(has_index(draft.crm, table, "transaction_id") for table in tables)
    ranges = key_ranges(draft.crm, "transaction_id", None, indexed=indexed)
    shards = default_ranges(estimated_rows(draft.crm, "fact_transactions"), indexed=True)
    draft.plan["shards"], draft.plan["parameters"] = shards, parameters(draft)
    draft.plan["folds"] = [list(range(FOLDS))] if shards == 1 else [[fold] for fold in range(FOLDS)]
    read = [
        Part(run_id=draft.run.run_id, stage="read", part=number, lower=lower, upper=upper)
        for number, (lower, upper) in enumerate(ranges)
    ]
    stages = {"tune": int(draft.mode == "train"), "backtest": len(draft.plan["folds"]), "profile": shards, "reduce": 1}
    return read + [
        Part(run_id=draft.run.run_id, stage=stage, part=number)
        for stage, count in stages.items()
        for number in range(count)
    ]


def changed(draft: Draft) -> list[Part] | None:
    """One part over the touched customers and business days, which are stored in the plan; None if everything is
    touched.

    Everything is touched if the segments have other names, and if there are more items than pairs are counted for,
    since the counted ones may be others now.
    """
    plan, session = draft.plan, draft.session
    if plan["recompute_all"]:
        return None
    last = plan["since"]["ledger"]
    keys, digests = ledger.keys(session, last), ledger.digests(session, last)
    session.rollback()
    unchanged = touched.unchanged(draft.crm, plan, digests, lines=True, guests=True) if plan["inline"] else None
    plan["since"] |= {"unchanged": unchanged}
    days = [key.removeprefix("d:") for key in keys if key.startswith("d:") and unchanged is None]
    plan["day_buckets"] = touched.day_buckets(draft.crm, plan, days)
    published = runs.published_run(session, draft.run.kind)
    model = session.get(StoredModel, plan["since"]["generation"])
    names, _ = rfm.numbered_segments(session)
    if published.counts is None or published.counts["segment_names"] != names:
        return None
    if model is None or len(model.item_ids) >= MOST_PAIRED:
        return None
    plan["shards"], plan["parameters"] = 1, parameters(draft)
    session.rollback()
    return [Part(run_id=draft.run.run_id, stage="read", part=0)]


def parameters(draft: Draft) -> dict[str, Any]:
    """The champion's parameters; before the first training the defaults."""
    champion = draft.plan["champion"]
    if champion is None:
        return Parameters().stored()
    return dict(versions.numbered(draft.session, draft.run.kind, champion).params)
