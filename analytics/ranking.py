"""The ranking rule for a daypart's items: the first sum, and the tie-breakers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

BEHIND = ("orders", "quantity", "cents")


@dataclass(frozen=True)
class Ranking:
    """How items are ranked: `by` orders, quantity, revenue or margin; at most `top_n`, each with `min_orders` or more.

    Margins are known for the items in `costed`; the others rank last.
    """

    by: str
    top_n: int
    min_orders: int = 1
    costed: Collection[int] = ()

    @property
    def order(self) -> list[str]:
        """The sums by which items are sorted in descending order; then the lowest id comes first.

        `known` says whether an item is in `costed`; `margin` is 0 if it is not.
        """
        first = {"margin": ["known", "margin"], "revenue": ["cents"]}.get(self.by, [self.by])
        return first + [column for column in BEHIND if column not in first]
