"""How a run's plan ranks the menu; without what only a worker needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics.ranking import Ranking


def ranking(plan: Mapping[str, Any]) -> Ranking:
    """How a run ranks items."""
    costed = {int(item) for item in plan.get("costs", ())}
    return Ranking(plan.get("rank_by", "orders"), plan["top_n"], plan.get("min_orders", 1), costed)


def quantity_unit(plan: Mapping[str, Any]) -> int:
    """How many of the units in which a run's tallies count quantities make a piece: 1, or 1000 for weighed goods."""
    return int(plan.get("quantity_unit", 1))
