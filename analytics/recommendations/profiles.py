"""Customers' profiles: per item how often, when and how recently they ordered it.

A profile has everything that its customer adds to the tallies, so that it can be subtracted without the orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.ordered import differs
from analytics.recommendations.histories import Histories, offsets, offsets_of, stable_order
from analytics.recommendations.parameters import SCALE, Parameters

Whole = NDArray[np.int64]

BLOCK = 1 << 12  # customers at a time, so that their rows fit the processor's cache
OF_CUSTOMERS = ("visits", "known", "hits")
OF_ITEMS = ("items", "counts", "firsts", "days", "weights")
OF_CELLS = ("cell_items", "cell_dayparts", "cell_counts")


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
            **{name: getattr(self, name)[kept] for name in OF_CUSTOMERS},
            **{name: getattr(self, name)[mine] for name in OF_ITEMS},
            **{name: getattr(self, name)[cells] for name in OF_CELLS},
        )

    def between(self, first: int, until: int) -> Profiles:
        """The profiles of a range of customers, numbered from 0 on."""
        starts, cell_starts = self.starts[first : until + 1], self.cell_starts[first : until + 1]
        mine, cells = slice(starts[0], starts[-1]), slice(cell_starts[0], cell_starts[-1])
        return Profiles(
            starts=starts - starts[0],
            cell_starts=cell_starts - cell_starts[0],
            **{name: getattr(self, name)[first:until] for name in OF_CUSTOMERS},
            **{name: getattr(self, name)[mine] for name in OF_ITEMS},
            **{name: getattr(self, name)[cells] for name in OF_CELLS},
        )


def profiles(histories: Histories, parameters: Parameters) -> Profiles:
    """The profiles of these histories."""
    firsts = range(0, max(histories.customers, 1), BLOCK)
    return _together([_of_block(histories.between(first, first + BLOCK), parameters) for first in firsts])


def _together(blocks: Sequence[Profiles]) -> Profiles:
    joined = {name: np.concatenate([getattr(each, name) for each in blocks]) for name in OF_CUSTOMERS}
    for starts, names in (("starts", OF_ITEMS), ("cell_starts", OF_CELLS)):
        joined |= {name: np.concatenate([getattr(each, name) for each in blocks]) for name in names}
        joined[starts] = offsets_of(np.concatenate([np.diff(getattr(each, starts)) for each in blocks]))
    return Profiles(**joined)


def _of_block(histories: Histories, parameters: Parameters) -> Profiles:
    visits, of_line = histories.visits, histories.line_visits
    visitor = histories.visitors[of_line]
    parts = int(histories.dayparts.max(initial=0)) + 1
    cells = histories.items * parts + histories.dayparts[of_line]
    order = stable_order(cells)
    order = order[stable_order(visitor[order])]
    owners, cells = visitor[order], cells[order]
    gaps = histories.firsts[1:][owners] - 1 - of_line[order]  # later visits of the same customer
    items = cells // parts
    new_item = differs(owners) | differs(items)
    opens, opens_cell = np.flatnonzero(new_item), np.flatnonzero(new_item | differs(cells))
    sizes = np.diff(np.append(opens_cell, len(gaps)))
    of_cells = _cells(histories, owners[opens_cell], items[opens_cell], cells[opens_cell] % parts, sizes)
    owners, items = owners[opens], items[opens]
    last = _reduced(np.minimum, gaps, opens)
    counts = np.diff(np.append(opens, len(gaps)))
    return Profiles(
        visits,
        *_learned(visits, owners, counts, last, gaps, opens, parameters),
        offsets(owners, len(visits)),
        items,
        counts,
        visits[owners] - 1 - _reduced(np.maximum, gaps, opens),
        histories.days[histories.firsts[1:][owners] - 1 - last],
        _reduced(np.add, parameters.weights(gaps), opens),
        *of_cells,
    )


def _learned(
    visits: Whole, owners: Whole, counts: Whole, last: Whole, gaps: Whole, opens: Whole, parameters: Parameters
) -> tuple[Whole, Whole]:
    """`known` and `hits`, from lines' gaps in order of customers and items, and each item's count and last gap."""
    earlier = _reduced(np.add, np.where(gaps > 0, parameters.weights(np.maximum(gaps - 1, 0)), 0), opens)
    total = parameters.total_weights(np.maximum(visits - 1, 0)) + parameters.prior * SCALE
    shares = np.rint(SCALE * (earlier / total[owners])).astype(np.int64)
    known = np.zeros(len(visits), dtype=np.int64)
    np.add.at(known, owners, shares)
    return known, np.bincount(owners[(last == 0) & (counts > 1)], minlength=len(visits))


def _cells(
    histories: Histories, owners: Whole, items: Whole, dayparts: Whole, counts: Whole
) -> tuple[Whole, Whole, Whole, Whole]:
    """The cells of items, which are given, and before each customer's those of all its visits."""
    parts = int(histories.dayparts.max(initial=0)) + 1
    of_visits = np.bincount(histories.visitors * parts + histories.dayparts, minlength=histories.customers * parts)
    overall = np.flatnonzero(of_visits)
    visitors, parts_visited = np.divmod(overall, parts)
    before, after = offsets(visitors, histories.customers), offsets(owners, histories.customers)
    first, of_items = after[visitors] + np.arange(len(visitors)), np.ones(len(visitors) + len(owners), dtype=bool)
    of_items[first] = False
    found = np.empty((3, len(of_items)), dtype=np.int64)
    all_items = np.full(len(first), -1), parts_visited, of_visits[overall]
    for column, of_all, of_each in zip(found, all_items, (items, dayparts, counts), strict=True):
        column[first], column[of_items] = of_all, of_each
    return before + after, *found


def _reduced(how: np.ufunc, values: Whole, opens: Whole) -> Whole:
    found: Whole = how.reduceat(values, opens) if len(opens) else np.empty(0, dtype=np.int64)
    return found
