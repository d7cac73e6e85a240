"""The items that each segment orders most in each daypart, with the lift over all known customers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.recommendations.tallies import Tallies

Whole = NDArray[np.int64]

FEWEST = 5  # customers behind a row


class Pick(NamedTuple):
    """One item: `share` of the segment's visits in the daypart, `lift` over the share of all known customers."""

    segment: int
    daypart: int
    rank: int
    item_id: int
    orders: int
    share: float
    lift: float


def picks(tallies: Tallies, item_ids: Whole, available: NDArray[np.bool_], limit: int) -> Iterator[Pick]:
    """The best items per segment, from 1, and daypart, without the last one, the time between dayparts.

    Most orders first, then most customers, then the lowest id; `item_ids` and `available` are by code.
    """
    overall, visits = tallies.orders.sum(axis=0), tallies.visits.sum(axis=0)
    for segment in range(1, len(tallies.visits)):
        for daypart in range(tallies.visits.shape[1] - 1):
            orders, customers = tallies.orders[segment, daypart], tallies.customers[segment, daypart]
            enough = np.flatnonzero((customers >= FEWEST) & available)
            order = np.lexsort((item_ids[enough], -customers[enough], -orders[enough]))
            for rank, code in enumerate(enough[order][:limit].tolist(), 1):
                share = float(orders[code] / tallies.visits[segment, daypart])
                lift = share / float(overall[daypart, code] / visits[daypart])
                yield Pick(segment, daypart, rank, int(item_ids[code]), int(orders[code]), share, lift)
