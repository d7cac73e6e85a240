"""Customers' profiles: per item how often, when and how recently they ordered it.

A profile has everything that its customer adds to the tallies, so that it can be subtracted without the orders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.recommendations.histories import Histories, stable_order
from analytics.recommendations.parameters import SCALE, Parameters

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Profiles:
    """Profiles of customers 0, 1, …; items in order of their codes.

    Parameters
    ----------
    visits
        Per customer the number of visits.
    known, hits
        Of each customer's last visit, predicted from those before it: the sum of the expected rates of what was bought
        before, without the items' own re-buy rates, in 1/SCALE; and how many of those items the visit has.
    starts
        Shape (customers + 1): where each customer's items begin.
    items, counts, firsts, days, weights
        Per customer and item: its code; the visits with it; the first of these, from 0 on; the business date of the
        last of these; and their sum of weights, in 1/SCALE.
    cell_starts
        Shape (customers + 1): where each customer's cells begin.
    cell_items, cell_dayparts, cell_counts
        Per customer, item and daypart the number of visits; the code -1 counts the customer's visits in that daypart.
    """

    visits: Whole
    known: Whole
    hits: Whole
    starts: Whole
    items: Whole
    counts: Whole
    firsts: Whole
    days: Whole
    weights: Whole
    cell_starts: Whole
    cell_items: Whole
    cell_dayparts: Whole
    cell_counts: Whole

    @property
    def customers(self) -> int:
        """The number of customers."""
        return len(self.visits)

    @property
    def owners(self) -> Whole:
        """Each item's customer."""
        return np.repeat(np.arange(self.customers), np.diff(self.starts))

    @property
    def cell_owners(self) -> Whole:
        """Each cell's customer."""
        return np.repeat(np.arange(self.customers), np.diff(self.cell_starts))

    def of_customers(self, kept: NDArray[np.bool_]) -> Profiles:
        """These customers' profiles, numbered from 0 on."""
        mine, cells = kept[self.owners], kept[self.cell_owners]
        return Profiles(
            starts=np.concatenate([[0], np.cumsum(np.diff(self.starts)[kept])]),
            cell_starts=np.concatenate([[0], np.cumsum(np.diff(self.cell_starts)[kept])]),
            **{name: getattr(self, name)[kept] for name in ("visits", "known", "hits")},
            **{name: getattr(self, name)[mine] for name in ("items", "counts", "firsts", "days", "weights")},
            **{name: getattr(self, name)[cells] for name in ("cell_items", "cell_dayparts", "cell_counts")},
        )


def profiles(histories: Histories, parameters: Parameters) -> Profiles:
    """The profiles of these histories."""
    visits = histories.visits
    of_line = histories.line_visits
    visitor = histories.visitors[of_line]
    number = of_line - histories.firsts[:-1][visitor]
    gap = visits[visitor] - 1 - number
    base = int(histories.items.max(initial=0)) + 1
    keys = visitor * base + histories.items
    order = stable_order(keys)
    keys = keys[order]
    opens = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.empty(0, np.int64)
    counts = np.diff(np.append(opens, len(keys)))
    closes = opens + counts - 1
    gaps = gap[order]
    owners, items = np.divmod(keys[opens], base)
    found = _learned(visits, owners, counts, gaps, opens, parameters)
    return Profiles(
        visits,
        *found,
        _offsets(owners, len(visits)),
        items,
        counts,
        number[order][opens],
        histories.days[of_line][order][closes],
        _sums(parameters.weights(gaps), opens),
        *_cells(histories, of_line, visitor),
    )


def _learned(
    visits: Whole, owners: Whole, counts: Whole, gaps: Whole, opens: Whole, parameters: Parameters
) -> tuple[Whole, Whole]:
    """`known` and `hits`, from each line's gap, in order of customers and items."""
    earlier = _sums(np.where(gaps > 0, parameters.weights(np.maximum(gaps - 1, 0)), 0), opens)
    total = parameters.total_weights(np.maximum(visits - 1, 0)) + parameters.prior * SCALE
    shares = np.rint(SCALE * (earlier / total[owners])).astype(np.int64)
    last = gaps[opens + counts - 1] == 0 if len(opens) else np.empty(0, dtype=bool)
    known = np.zeros(len(visits), dtype=np.int64)
    np.add.at(known, owners, shares)
    return known, np.bincount(owners[last & (counts > 1)], minlength=len(visits))


def _cells(histories: Histories, of_line: Whole, visitor: Whole) -> tuple[Whole, Whole, Whole, Whole]:
    """Visits by customer, item and daypart, and by customer and daypart."""
    items, parts = int(histories.items.max(initial=0)) + 2, int(histories.dayparts.max(initial=0)) + 1
    lines = (visitor * items + histories.items + 1) * parts + histories.dayparts[of_line]
    alone = histories.visitors * items * parts + histories.dayparts
    keys, counts = np.unique(np.concatenate([lines, alone]), return_counts=True)
    rest, dayparts = np.divmod(keys, parts)
    owners, codes = np.divmod(rest, items)
    return _offsets(owners, histories.customers), codes - 1, dayparts, counts


def _sums(values: Whole, opens: Whole) -> Whole:
    return np.add.reduceat(values, opens) if len(opens) else np.empty(0, dtype=np.int64)


def _offsets(owners: Whole, count: int) -> Whole:
    return np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=count))]).astype(np.int64)
