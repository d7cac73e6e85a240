"""Customers' visits in order of time, as arrays: the input of profiles and backtests.

A visit is a counted transaction with at least one counted line; an item counts once per visit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Histories:
    """Visits of customers 0, 1, …: each customer's in order of time, and each visit's items, each once.

    Parameters
    ----------
    firsts
        Shape (customers + 1): customer u's visits are those from `firsts[u]` up to, not including, `firsts[u + 1]`.
    times, days, dayparts
        Per visit its instant in microseconds, its business date in days since 2000-01-01, and its daypart's place.
    lines
        Shape (visits + 1): where each visit's items begin.
    items
        Item codes, from 0 on.
    """

    firsts: Whole
    times: Whole
    days: Whole
    dayparts: Whole
    lines: Whole
    items: Whole

    @classmethod
    def of_rows(
        cls,
        customers: Whole,
        times: Whole,
        ids: Whole,
        days: Whole,
        dayparts: Whole,
        sizes: Whole,
        items: Whole,
        count: int,
    ) -> Self:
        """From visits in any order, of `count` customers, with `sizes` items each, and the items of one after another.

        Visits at the same instant are ordered by their transactions' `ids`. Visits without an item are excluded.
        """
        order = stable_order(customers)
        order = _by_time(order[sizes[order] > 0], customers, times, ids)
        lines = offsets_of(sizes[order])
        shift = (np.cumsum(sizes) - sizes)[order] - lines[:-1]
        return cls(
            offsets(customers[order], count),
            times[order],
            days[order],
            dayparts[order],
            lines,
            items[np.repeat(shift, sizes[order]) + np.arange(lines[-1])],
        )

    @property
    def customers(self) -> int:
        """The number of customers, including those without a visit."""
        return len(self.firsts) - 1

    @property
    def visits(self) -> Whole:
        """Each customer's number of visits."""
        return np.diff(self.firsts)

    @property
    def visitors(self) -> Whole:
        """Each visit's customer."""
        return np.repeat(np.arange(self.customers), self.visits)

    @property
    def line_visits(self) -> Whole:
        """Each item's visit."""
        return np.repeat(np.arange(len(self.times)), np.diff(self.lines))

    def of_visits(self, kept: NDArray[np.bool_]) -> Histories:
        """The same customers with only these visits."""
        return Histories(
            offsets(self.visitors[kept], self.customers),
            self.times[kept],
            self.days[kept],
            self.dayparts[kept],
            offsets_of(np.diff(self.lines)[kept]),
            self.items[kept[self.line_visits]],
        )

    def of_customers(self, kept: NDArray[np.bool_]) -> Histories:
        """Only these customers, numbered from 0."""
        found = self.of_visits(kept[self.visitors])
        firsts = offsets_of(self.visits[kept])
        return Histories(firsts, found.times, found.days, found.dayparts, found.lines, found.items)

    def between(self, first: int, until: int) -> Histories:
        """A range of customers, numbered from 0 on."""
        firsts = self.firsts[first : until + 1]
        mine, lines = slice(firsts[0], firsts[-1]), self.lines[firsts[0] : firsts[-1] + 1]
        return Histories(
            firsts - firsts[0],
            self.times[mine],
            self.days[mine],
            self.dayparts[mine],
            lines - lines[0],
            self.items[lines[0] : lines[-1]],
        )

    def before(self, instant: int) -> Histories:
        """The visits before an instant."""
        return self.of_visits(self.times < instant)

    def last_visits(self) -> NDArray[np.bool_]:
        """Whether a visit is its customer's last."""
        found = np.zeros(len(self.times), dtype=bool)
        found[self.firsts[1:][self.visits > 0] - 1] = True
        return found

    def first_visits(self) -> NDArray[np.bool_]:
        """Whether a visit is its customer's first."""
        found = np.zeros(len(self.times), dtype=bool)
        found[self.firsts[:-1][self.visits > 0]] = True
        return found


def stable_order(keys: Whole) -> Whole:
    """The indices that sort the non-negative keys; stable.

    Sorted by 16 bits at a time, the lowest ones first: NumPy sorts numbers that short without comparing them.
    """
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    rest = keys >> 16
    while rest.any():
        order = order[np.argsort(rest.astype(np.uint16)[order], kind="stable")]
        rest >>= 16
    return order


def _by_time(order: Whole, customers: Whole, times: Whole, ids: Whole) -> Whole:
    """Visits in order of their customers, sorted by time and id where a customer's are not, which is rare."""
    who, when, which = customers[order], times[order], ids[order]
    late = (when[1:] < when[:-1]) | ((when[1:] == when[:-1]) & (which[1:] < which[:-1]))
    late &= who[1:] == who[:-1]
    unsorted = np.zeros(int(who.max(initial=-1)) + 1, dtype=bool)
    unsorted[who[1:][late]] = True
    rows = np.flatnonzero(unsorted[who])
    order[rows] = order[rows][np.lexsort((which[rows], when[rows], who[rows]))]
    return order


def together(parts: list[Histories]) -> Histories:
    """The histories of different customers, concatenated."""
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("times", "days", "dayparts")}
    return Histories(
        firsts=_joined([part.firsts for part in parts]),
        lines=_joined([part.lines for part in parts]),
        items=np.concatenate([part.items for part in parts]),
        **joined,
    )


def _joined(parts: list[Whole]) -> Whole:
    return offsets_of(np.concatenate([np.diff(each) for each in parts]))


def offsets(owners: Whole, count: int) -> Whole:
    """The index at which each owner's rows begin, of rows sorted by owner; then the number of rows."""
    return offsets_of(np.bincount(owners, minlength=count))


def offsets_of(sizes: Whole) -> Whole:
    """The index at which each begins of things with these sizes; then the sum of the sizes."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
