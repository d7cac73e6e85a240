"""Planning a run of predictions: what they depend on, and its customer shards."""

from __future__ import annotations

from typing import Any

from analytics.segments import load_map
from kinds.base import Draft
from settings import Settings
from source import reading
from source.ranges import has_index, key_ranges
from store.models import Part


def plan(settings: Settings, crm: reading.Connection) -> dict[str, Any]:
    """Everything that the predictions depend on: the whole history of all customers who are not excluded."""
    excluded = load_map(settings.segment_map).excluded
    return ({"excluded": list(excluded)} if excluded else {}) | {
        "lookback_days": 0,
        "shards": settings.rfm_shards,
        "columns": {"fact_transactions": reading.column_types(crm, "fact_transactions")},
    }


def shards(draft: Draft) -> list[Part]:
    """Parts to summarize and to score for each shard (customers between two ids), and one part that fits."""
    indexed = has_index(draft.crm, "fact_transactions", "mobile_id")
    ranges = key_ranges(draft.crm, "mobile_id", draft.settings.rfm_shards, indexed=indexed)
    return [
        Part(run_id=draft.run.run_id, stage=stage, part=number, lower=lower, upper=upper)
        for stage in ("summarize", "score")
        for number, (lower, upper) in enumerate(ranges)
    ] + [Part(run_id=draft.run.run_id, stage="fit", part=0)]
