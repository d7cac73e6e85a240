"""Ranking a daypart's items by orders, quantity, revenue or margin; ties are broken by the others and the lowest id."""

from __future__ import annotations

import pandas as pd

from analytics.ranking import Ranking


def rank_items(items: pd.DataFrame, transactions: int, ranking: Ranking) -> pd.DataFrame:
    """The daypart's best items.

    Parameters
    ----------
    items
        One row per item: `menu_item_id`, `orders` (transactions with it), `quantity` (pieces), `cents` (revenue),
        `margin` (cents).
    transactions
        The daypart's counted transactions with at least one counted line.

    Returns
    -------
    DataFrame
        At most `ranking.top_n` rows with `menu_item_id`, `rank` (from 1), `orders`, `quantity` and `share`, which is
        orders ÷ transactions (0 to 1).
    """
    enough = items[items["orders"] >= ranking.min_orders] if ranking.min_orders > 1 else items
    if ranking.by == "margin":
        known = enough["menu_item_id"].isin(list(ranking.costed))
        enough = enough.assign(known=known, margin=enough["margin"].where(known, 0))
    order, falling = [*ranking.order, "menu_item_id"], [False] * len(ranking.order)
    best = enough.sort_values(order, ascending=[*falling, True], kind="stable").head(ranking.top_n)
    return best.assign(
        rank=range(1, len(best) + 1),
        share=best["orders"] / transactions if transactions else 0.0,
    )[["menu_item_id", "rank", "orders", "quantity", "share"]]
