"""The ranking rules in a run's plan; imports nothing that only a worker needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics.ranking import Ranking


def ranking(plan: Mapping[str, Any]) -> Ranking:
    """How a run ranks items."""
    costed = {int(item) for item in plan.get("costs", ())}
    return Ranking(plan.get("rank_by", "orders"), plan["top_n"], plan.get("min_orders", 1), costed)


def quantity_unit(plan: Mapping[str, Any]) -> int:
    """The number of quantity units per piece in a run's tallies: 1, or 1000 for weighed goods."""
    return int(plan.get("quantity_unit", 1))
