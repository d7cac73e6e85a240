"""By what a daypart's items are ranked: the first of the sums, and what follows behind it where items are equal."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

BEHIND = ("orders", "quantity", "cents")


@dataclass(frozen=True)
class Ranking:
    """How items are ranked: `by` orders, quantity, revenue or margin; at most `top_n`, each with `min_orders` or more.

    Of margins those in `costed` are known; the other items come last.
    """

    by: str
    top_n: int
    min_orders: int = 1
    costed: Collection[int] = ()

    @property
    def order(self) -> list[str]:
        """The sums that items are ordered by, falling; then the lowest id comes first.

        `known` says whether an item is in `costed`; `margin` is 0 where it is not.
        """
        first = {"margin": ["known", "margin"], "revenue": ["cents"]}.get(self.by, [self.by])
        return first + [column for column in BEHIND if column not in first]
