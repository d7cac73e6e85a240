"""Counting orders per business day: the cells that daily series are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics.cells import (
    CATEGORY_ORDERS,
    CATEGORY_REVENUE,
    COUNTED_AMOUNT,
    DAYPART_ORDERS,
    DAYPART_REVENUE,
    GUEST_ORDERS,
    HOUR_ORDERS,
    HOUR_REVENUE,
    ITEM_ORDERS,
    ITEM_REVENUE,
    NO_DAYPART,
    ORDERS,
    REVENUE,
    numbered,
    sums,
)
from analytics.dayparts import DAY
from analytics.tallies import LEAST, MOST

Whole = NDArray[np.int64]
HOUR = DAY // 24
DATES = 2  # of the local clock in a business day
SPARSE = 128  # pairs that there may be for each one that there is, where all of them are marked in an array


@dataclass(frozen=True)
class Orders:
    """A block of orders, which has all lines of each.

    Per transaction: its id, its wall-clock time in microseconds since 2000-01-01 (LEAST where it is not looked at, MOST
    where its amount or time is missing, infinite or not a number), its amount in cents, and 1 where the customer is
    known. Per line: its transaction's id, item, pieces (or thousandths) and amount in cents (LEAST where it can't be
    used), and 1 where a quantity above zero was rounded; None where none was.
    """

    ids: Whole
    local: Whole
    amounts: Whole
    known: Whole
    line_ids: Whole
    items: Whole
    quantities: Whole
    cents: Whole
    rounded: Whole | None = None


@dataclass(frozen=True)
class Clock:
    """The dayparts' windows, and when a business day begins; in microseconds after midnight.

    `starts` and `untils` are half-open, rise and do not overlap; `daypart_of` has the windows' dayparts, and last
    NO_DAYPART, for the gaps.
    """

    starts: Whole
    untils: Whole
    daypart_of: Whole
    day_start: int

    @classmethod
    def of(cls, dayparts: Sequence[Mapping[str, Any]], day_start: int) -> Clock:
        """From dayparts with a `daytime_id` and `windows`."""
        windows = sorted((*window, daypart["daytime_id"]) for daypart in dayparts for window in daypart["windows"])
        starts, untils, daytime_ids = np.array(windows, dtype=np.int64).T
        return cls(starts, untils, np.append(daytime_ids, NO_DAYPART), day_start)

    def window(self, local: Whole) -> Whole:
        """Each time's window, as a place in `daypart_of`."""
        time = local % DAY
        window = np.searchsorted(self.starts, time, side="right") - 1
        inside = (window >= 0) & (time < self.untils[window])
        return np.where(inside, window, len(self.starts))


@dataclass(frozen=True)
class Categories:
    """Which item belongs to which category, by its number; `items` rise. What is in no list has the number `none`.

    Lines with items in `excluded` do not count.
    """

    items: Whole
    numbers: Whole
    none: int
    excluded: Whole

    def of(self, items: Whole) -> Whole:
        """Each item's category."""
        number, names = numbered(items)  # found once for each item, not for each line
        if not len(self.items):
            return np.full(len(items), self.none, dtype=np.int64)
        place = np.minimum(np.searchsorted(self.items, names), len(self.items) - 1)
        return np.where(self.items[place] == names, self.numbers[place], self.none)[number]


@dataclass(frozen=True)
class Counted:
    """The cells (analytics/cells.py); how many transactions went in, and how many could not."""

    cells: Whole
    transactions: int
    skipped: int


def count(orders: Orders, clock: Clock, categories: Categories) -> Counted:
    """Count a block.

    Raises
    ------
    SourceError
        When a sum is too large for 64 bits.
    """
    order = np.argsort(orders.ids, kind="stable")
    ids, local, amounts, known = (column[order] for column in (orders.ids, orders.local, orders.amounts, orders.known))
    timed = (local != LEAST) & (local != MOST)
    counted = timed & (amounts >= 1)
    day, window = (local - clock.day_start) // DAY, clock.window(local)
    # Summed once by all that the totals below need, of which there are few.
    slot = ((local % DAY // HOUR * DATES + local // DAY - day) * len(clock.daypart_of) + window) * 2 + known
    found = [
        *_of_slots(clock, sums(day, ORDERS, counted, first=slot), ORDERS, DAYPART_ORDERS, HOUR_ORDERS, GUEST_ORDERS),
        *_of_slots(clock, sums(day, REVENUE, timed, amounts, first=slot), REVENUE, DAYPART_REVENUE, HOUR_REVENUE),
        sums(day, COUNTED_AMOUNT, counted, amounts),
    ]
    which, transaction = _counted_lines(orders, ids, counted, categories.excluded)
    items = orders.items[which]
    with_item, item = _distinct(transaction, items)
    with_category, category = _distinct(transaction, categories.of(items))
    sold = sums(day[with_item], ITEM_ORDERS, first=item, second=window[with_item])
    sold[:, 3] = clock.daypart_of[sold[:, 3]]
    revenue = sums(day[transaction], ITEM_REVENUE, values=orders.cents[which], first=items)
    found += [
        sold,
        revenue,
        sums(day[with_category], CATEGORY_ORDERS, first=category),
        sums(revenue[:, 0], CATEGORY_REVENUE, values=revenue[:, 4], first=categories.of(revenue[:, 2])),
    ]
    return Counted(np.concatenate(found), int(np.count_nonzero(timed)), int(np.count_nonzero(local == MOST)))


def _of_slots(
    clock: Clock, cells: Whole, whole: int, of_daypart: int, of_hour: int, of_guests: int | None = None
) -> Iterator[Whole]:
    """The cells of these metrics from those by slot."""
    day, slot, values = cells[:, 0], cells[:, 2], cells[:, 4]
    rest, known = np.divmod(slot, 2)
    rest, window = np.divmod(rest, len(clock.daypart_of))
    hour, later = np.divmod(rest, DATES)
    daypart = clock.daypart_of[window]
    yield sums(day, whole, values=values)
    yield sums(day, of_daypart, daypart != NO_DAYPART, values, first=daypart)
    yield sums(day, of_hour, values=values, first=hour, second=later)
    if of_guests is not None:
        yield sums(day, of_guests, known == 0, values)


def _counted_lines(orders: Orders, ids: Whole, counted: NDArray[np.bool_], excluded: Whole) -> tuple[Whole, Whole]:
    """The lines that count, and each one's place among the transactions."""
    if not len(ids):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    opens = np.append(True, np.diff(orders.line_ids) != 0) if len(orders.line_ids) else np.empty(0, dtype=bool)
    named = orders.line_ids[opens]  # found once for each transaction, as lines mostly come in their order
    place = np.minimum(np.searchsorted(ids, named), len(ids) - 1)[np.cumsum(opens) - 1]
    pieces = orders.quantities > 0
    if orders.rounded is not None:
        pieces |= orders.rounded > 0
    good = (ids[place] == orders.line_ids) & counted[place] & (orders.cents != LEAST) & pieces
    if len(excluded):
        good &= ~np.isin(orders.items, excluded)
    which = np.flatnonzero(good)
    return which, place[which]


def _distinct(transaction: Whole, names: Whole) -> tuple[Whole, Whole]:
    """The pairs of transactions and names that there are, each once."""
    number, known = numbered(names)
    codes = transaction * max(len(known), 1) + number
    if int(codes.max(initial=0)) < SPARSE * len(codes):
        there = np.zeros(int(codes.max()) + 1, dtype=bool)  # takes a tenth of the time of sorting
        there[codes] = True
        codes = np.flatnonzero(there)
    else:
        codes = np.unique(codes)
    place, number = np.divmod(codes, max(len(known), 1))
    return place, known[number] if len(known) else number
