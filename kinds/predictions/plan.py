"""What a run of predictions depends on, beside the orders."""

from __future__ import annotations

from typing import Any

from analytics.segments import load_map
from settings import Settings
from source import reading


def plan(settings: Settings, crm: reading.Connection) -> dict[str, Any]:
    """Everything that the predictions depend on: the whole history of all customers who are not excluded."""
    excluded = load_map(settings.segment_map).excluded
    return ({"excluded": list(excluded)} if excluded else {}) | {
        "lookback_days": 0,
        "shards": settings.rfm_shards,
        "columns": {"fact_transactions": reading.column_types(crm, "fact_transactions")},
    }
