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
    """Visits of customers 0, 1, …: each customer's in order of time, and each visit's items in order of their codes.

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
        line_visits: Whole,
        line_items: Whole,
        count: int,
    ) -> Self:
        """From visits in any order, of `count` customers, and lines that name their visit by its place.

        Visits at the same instant are ordered by their transactions' `ids`. Visits without a line are excluded.
        """
        with_lines = np.zeros(len(customers), dtype=bool)
        with_lines[line_visits] = True
        order = np.lexsort((ids, times))  # mostly sorted already
        order = order[stable_order(customers[order])]
        order = order[with_lines[order]]
        place = np.empty(len(customers), dtype=np.int64)
        place[order] = np.arange(len(order))
        base = int(line_items.max(initial=0)) + 1
        keys = np.sort(place[line_visits] * base + line_items)
        keys = keys[_differs(keys)]
        visits, items = np.divmod(keys, base)
        return cls(
            _offsets(customers[order], count),
            times[order],
            days[order],
            dayparts[order],
            _offsets(visits, len(order)),
            items,
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
            _offsets(self.visitors[kept], self.customers),
            self.times[kept],
            self.days[kept],
            self.dayparts[kept],
            np.concatenate([[0], np.cumsum(np.diff(self.lines)[kept])]),
            self.items[kept[self.line_visits]],
        )

    def of_customers(self, kept: NDArray[np.bool_]) -> Histories:
        """Only these customers, numbered from 0."""
        found = self.of_visits(kept[self.visitors])
        firsts = np.concatenate([[0], np.cumsum(self.visits[kept])])
        return Histories(firsts, found.times, found.days, found.dayparts, found.lines, found.items)

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

    Sorting numbers is several times as fast as `argsort`, so each index is packed into its key's low bits.
    """
    bits = len(keys).bit_length()
    if int(keys.max(initial=0)) >= 1 << (62 - bits):
        return np.argsort(keys, kind="stable")
    return np.sort(keys << bits | np.arange(len(keys))) & ((1 << bits) - 1)


def together(parts: list[Histories]) -> Histories:
    """The histories of different customers, concatenated."""
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("times", "days", "dayparts")}
    return Histories(
        firsts=_joined([part.firsts for part in parts]),
        lines=_joined([part.lines for part in parts]),
        items=np.concatenate([part.items for part in parts]),
        **joined,
    )


def _joined(offsets: list[Whole]) -> Whole:
    return np.concatenate([[0], np.cumsum(np.concatenate([np.diff(each) for each in offsets]))]).astype(np.int64)


def _offsets(owners: Whole, count: int) -> Whole:
    """The index at which each owner's rows begin, of rows sorted by owner; then the number of rows."""
    return np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=count))]).astype(np.int64)


def _differs(column: Whole) -> NDArray[np.bool_]:
    found = np.ones(len(column), dtype=bool)
    np.not_equal(column[1:], column[:-1], out=found[1:])
    return found
