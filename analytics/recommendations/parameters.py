"""The parameters of a recommendation model, and the weights computed from them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]

SCALE = 1 << 16  # fractions are integers in units of 1/SCALE; 255 still fits three bytes
# A customer's bucket is the number of these that are at most the number of visits.
EDGES = np.array([2, 3, 5, 8, 13, 21, 40, 80])
BUCKETS = len(EDGES) + 1


@dataclass(frozen=True)
class Parameters:
    """Parameters of the model; the defaults are used before the first tuning.

    Parameters
    ----------
    half_life
        Visits after which an order's weight is one half; 0: the weight is always 1.
    prior
        The weight of an item's re-buy rate, in visits of the customer.
    together
        For items that are new to a customer, the weight of co-purchases; popularity has the remaining weight.
    bought_too
        Whether this also applies to items that the customer has bought.
    by_daypart
        Whether popularity is counted per daypart.
    """

    half_life: int = 16
    prior: int = 16
    together: float = 0.2
    bought_too: bool = False
    by_daypart: bool = True

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Parameters from their stored form."""
        return cls(**stored)

    def stored(self) -> dict[str, Any]:
        """The parameters as JSON."""
        return asdict(self)

    def weights(self, gaps: Whole) -> Whole:
        """An order's weight after this many later visits of its customer, in 1/SCALE."""
        if not self.half_life:
            return np.full(len(gaps), SCALE, dtype=np.int64)
        table = self._table()
        return table[np.minimum(gaps, len(table) - 1)]

    def total_weights(self, visits: Whole) -> Whole:
        """The sum of the weights of this many visits, in 1/SCALE."""
        if not self.half_life:
            return visits * SCALE
        totals = np.concatenate([[0], np.cumsum(self._table())])
        return totals[np.minimum(visits, len(totals) - 1)]

    def _table(self) -> Whole:
        """Weights by gap; the last one is 0."""
        gaps = np.arange(26 * self.half_life)
        return np.rint(SCALE * 2.0 ** (-gaps / self.half_life)).astype(np.int64)


def buckets(visits: Whole) -> Whole:
    """The bucket of customers with this many visits."""
    return np.searchsorted(EDGES, visits, side="right")


def grid() -> Iterator[Parameters]:
    """The combinations that tuning chooses from."""
    for values in itertools.product((16, 0), (4, 16, 64), (0.2, 0.6), (False, True), (True, False)):
        yield Parameters(*values)
