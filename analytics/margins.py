"""Margins of lines: their amount minus the cost of their pieces, in whole cents per line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
ROOM = 2**61  # the limit of products in 64 bits, so that twice the sum of two still fits


@dataclass(frozen=True)
class Costs:
    """Items' costs as whole numbers: `parts` per unit of quantity, of which `in_a_cent` make a cent; `items` are
    sorted.
    """

    items: Whole
    parts: NDArray[Any]
    in_a_cent: int

    @classmethod
    def of(cls, costs: Mapping[int, Decimal], quantity_unit: int) -> Costs:
        """Built from the costs per piece, in money; `quantity_unit` units of quantity make a piece."""
        in_cents = {item: Fraction(cost) * 100 / quantity_unit for item, cost in costs.items()}
        in_a_cent = int(np.lcm.reduce([each.denominator for each in in_cents.values()], dtype=object)) if costs else 1
        items = sorted(costs)
        parts = np.array([int(in_cents[item] * in_a_cent) for item in items], dtype=object)
        return cls(np.array(items, dtype=np.int64), parts, in_a_cent)

    def margins(self, items: Whole, quantities: Whole, cents: Whole) -> Whole:
        """Each line's margin in cents, rounded half away from zero; 0 for items without a cost."""
        if not len(self.items):
            return np.zeros(len(items), dtype=np.int64)
        place = np.minimum(np.searchsorted(self.items, items), len(self.items) - 1)
        known = self.items[place] == items
        exact = self._fits(quantities, cents)
        parts = (self.parts.astype(np.int64) if exact else self.parts)[place]
        if not exact:
            quantities, cents = quantities.astype(object), cents.astype(object)
        found = cents * self.in_a_cent - parts * quantities
        if self.in_a_cent > 1:
            size = (2 * np.abs(found) + self.in_a_cent) // (2 * self.in_a_cent)
            found = np.where(found < 0, -size, size)
        return np.where(known, found, 0).astype(np.int64)

    def _fits(self, quantities: Whole, cents: Whole) -> bool:
        """Whether 64 bits hold every product."""
        largest_part = max(abs(int(part)) for part in self.parts)
        most, dearest = (int(np.abs(each.astype(np.float64)).max(initial=0)) for each in (quantities, cents))
        return dearest * self.in_a_cent < ROOM / 2 and most * largest_part < ROOM / 2
