"""Queries for exports: all segments' picks, and the quality of every full run."""

from __future__ import annotations

from store.queries import Query, exported

PICK_COLUMNS = (
    *("segment", "daytime_id", "menu_item_id", "rank", "orders", "share", "lift"),
    *("run_id", "created_at"),
)
QUALITY_COLUMNS = (
    *("run_id", "method", "customers", "recall", "ndcg", "hit_rate", "repeat_share", "coverage", "z", "published"),
    "recall_error",
)
_GENERATION = "(SELECT generation FROM analytics_runs AS r WHERE r.run_id = recommendation_quality.run_id)"


def picks(segment: str | None, daytime_id: int | None) -> Query:
    """The published picks of a segment and a daypart, or of all, by segment, daypart and rank."""
    conditions = {"segment = {}": segment, "daytime_id = {}": daytime_id}
    return exported("segment_recommendation", PICK_COLUMNS, "segment, daytime_id, rank", conditions)


def quality() -> Query:
    """Each method's quality in the backtest of every full run, newest run first."""
    order = f"{_GENERATION} DESC NULLS LAST, run_id, method DESC"
    return exported("recommendation_quality", QUALITY_COLUMNS, order)
