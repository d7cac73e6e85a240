"""What a recommendation model is tuned by, and the weights that follow from it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]

SCALE = 1 << 16  # of the whole numbers that stand for fractions; 255 whole ones still fit three bytes
# A customer's bucket is the number of these that are at most the number of visits.
EDGES = np.array([2, 3, 5, 8, 13, 21, 40, 80])
BUCKETS = len(EDGES) + 1


@dataclass(frozen=True)
class Parameters:
    """Parameters of the model; the defaults serve where nothing is tuned.

    Parameters
    ----------
    half_life
        Visits after which an order counts half; 0: it always counts whole.
    prior
        How many visits the re-buy rate of an item weighs against a customer's own ones.
    together
        The share of what others took with it in the ranking of items that are new to a customer; popularity has the
        rest.
    bought_too
        Whether items that the customer has bought get that share as well.
    by_daypart
        Whether popularity is that of the daypart.
    """

    half_life: int = 16
    prior: int = 16
    together: float = 0.2
    bought_too: bool = False
    by_daypart: bool = True

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """From the form in which models keep them."""
        return cls(**stored)

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def weights(self, gaps: Whole) -> Whole:
        """What an order counts after so many later visits of its customer, in 1/SCALE."""
        if not self.half_life:
            return np.full(len(gaps), SCALE, dtype=np.int64)
        table = self._table()
        return table[np.minimum(gaps, len(table) - 1)]

    def total_weights(self, visits: Whole) -> Whole:
        """What so many visits count together, in 1/SCALE."""
        if not self.half_life:
            return visits * SCALE
        totals = np.concatenate([[0], np.cumsum(self._table())])
        return totals[np.minimum(visits, len(totals) - 1)]

    def _table(self) -> Whole:
        """Weights by gap; the last one is 0."""
        gaps = np.arange(26 * self.half_life)
        return np.rint(SCALE * 2.0 ** (-gaps / self.half_life)).astype(np.int64)


def buckets(visits: Whole) -> Whole:
    """The bucket of customers with so many visits."""
    return np.searchsorted(EDGES, visits, side="right")


def grid() -> Iterator[Parameters]:
    """What tuning chooses from."""
    for values in itertools.product((16, 0), (4, 16, 64), (0.2, 0.6), (False, True), (True, False)):
        yield Parameters(*values)
