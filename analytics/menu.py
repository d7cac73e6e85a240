"""Ranking a daypart's items: most orders first, then quantity, then revenue, then the lowest id."""

from __future__ import annotations

import pandas as pd

ORDER = ["orders", "quantity", "cents", "menu_item_id"]


def rank_items(items: pd.DataFrame, transactions: int, top_n: int) -> pd.DataFrame:
    """The daypart's best items.

    Parameters
    ----------
    items
        One row per item: `menu_item_id`, `orders` (transactions with it), `quantity` (pieces), `cents`.
    transactions
        The daypart's counted transactions with at least one counted line.
    top_n
        How many items to keep.

    Returns
    -------
    DataFrame
        At most `top_n` rows with `menu_item_id`, `rank` (from 1), `orders`, `quantity` and `share`, which is
        orders ÷ transactions (0 to 1).
    """
    best = items.sort_values(ORDER, ascending=[False, False, False, True], kind="stable").head(top_n)
    return best.assign(
        rank=range(1, len(best) + 1),
        share=best["orders"] / transactions if transactions else 0.0,
    )[["menu_item_id", "rank", "orders", "quantity", "share"]]
