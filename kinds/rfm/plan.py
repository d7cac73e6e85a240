"""Planning an RFM run: what its segments depend on, its customer shards, and the baseline of its changes."""

from __future__ import annotations

from typing import Any

from analytics.scores import CENTS
from analytics.segments import load_map
from kinds.base import Draft, steady
from settings import Settings
from source import reading
from source.ranges import has_index, key_ranges
from store.models import Part, Published, Run

# Keys of a plan that may differ between runs of the same rules.
OF_ONE_RUN = frozenset({"baseline", "business_date", "daily_after", "marks", "by_shard"})


def plan(settings: Settings, crm: reading.Connection) -> dict[str, Any]:
    """Everything that the segments depend on."""
    found = load_map(settings.segment_map)
    # Only rules that are used are in the plan, so that it equals the plans of versions without these rules.
    own: dict[str, Any] = {"own_cut_points": found.own} if found.own else {}
    own |= {"monetary": found.measure} if found.measure != CENTS else {}
    own |= {"excluded": list(found.excluded)} if found.excluded else {}
    return own | {
        "lookback_days": settings.rfm_lookback_days,
        "shards": settings.rfm_shards,
        "columns": {"fact_transactions": reading.column_types(crm, "fact_transactions")},
        "segments": found.segments,
        "first_purchases": True,
    }


def shards(draft: Draft) -> list[Part]:
    """One part per stage and shard; a shard is the customers between two ids."""
    indexed = has_index(draft.crm, "fact_transactions", "mobile_id")
    ranges = key_ranges(draft.crm, "mobile_id", draft.settings.rfm_shards, indexed=indexed)
    return [
        Part(run_id=draft.run.run_id, stage=stage, part=number, lower=lower, upper=upper)
        for stage in ("aggregate", "score")
        for number, (lower, upper) in enumerate(ranges)
    ]


def divides_ours(draft: Draft) -> bool:
    """Whether the shards' bounds divide our customers as well; another database may sort ids differently."""
    return bool(draft.plan["source_is_ours"]) and reading.sorts_as_its_database(
        draft.crm, "fact_transactions", "mobile_id"
    )


def baseline(draft: Draft) -> dict[str, Any] | None:
    """The baseline of a full run's changes: the generation, and the rules that scored it."""
    session, plan = draft.session, draft.plan
    published = session.get(Published, "rfm")
    last = session.get(Run, published.baseline_run_id) if published and published.baseline_run_id else None
    if draft.run.as_of_given or published is None or last is None or last.plan is None or last.counts is None:
        return None
    before, now = steady(last.plan, OF_ONE_RUN), steady(plan, OF_ONE_RUN)
    columns = {"first_purchases": None}  # moves nobody
    return {
        "generation": published.baseline,
        "business_date": last.plan["business_date"],
        "cut_points": last.counts["cut_points"],
        "segments": last.plan["segments"],
        "same_settings": before | columns == now | columns,
        "by_shard": plan["by_shard"],
    }
