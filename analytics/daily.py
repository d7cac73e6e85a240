"""Counting orders per business day: what the daily series are made of.

Everything is a whole number in 64 bits, so that neither the order of rows nor their division into blocks shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics.dayparts import DAY
from analytics.tallies import LEAST, MOST, TOO_LARGE
from errors import SourceError

Whole = NDArray[np.int64]
HOUR = DAY // 24

# What a cell counts; its `first` and `second` say of what.
ORDERS, GUEST_ORDERS, REVENUE, COUNTED_AMOUNT = 0, 1, 2, 3
DAYPART_ORDERS, DAYPART_REVENUE = 4, 5  # daytime_id
CATEGORY_ORDERS, CATEGORY_REVENUE = 6, 7  # category's number
ITEM_ORDERS, ITEM_REVENUE = 8, 9  # item_id; its orders also by daytime_id, NO_DAYPART in a gap between dayparts
HOUR_ORDERS, HOUR_REVENUE = 10, 11  # hour of the local clock; 1 where its date is the one after the business date
KNOWN_CUSTOMERS, NEW_CUSTOMERS = 12, 13
NO_DAYPART = -(2**31) - 1  # no int

COLUMNS = ("day", "metric", "first", "second", "value")
EVERYTHING = slice(None)
EMPTY = np.empty((0, len(COLUMNS)), dtype=np.int64)


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

    `starts` and `untils` are half-open, rise and do not overlap; `daytime_ids` are the windows' dayparts.
    """

    starts: Whole
    untils: Whole
    daytime_ids: Whole
    day_start: int

    @classmethod
    def of(cls, dayparts: Sequence[Mapping[str, Any]], day_start: int) -> Clock:
        """From dayparts with a `daytime_id` and `windows`."""
        windows = sorted((*window, daypart["daytime_id"]) for daypart in dayparts for window in daypart["windows"])
        starts, untils, daytime_ids = np.array(windows, dtype=np.int64).T
        return cls(starts, untils, daytime_ids, day_start)


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
        if not len(self.items):
            return np.full(len(items), self.none, dtype=np.int64)
        place = np.minimum(np.searchsorted(self.items, items), len(self.items) - 1)
        return np.where(self.items[place] == items, self.numbers[place], self.none)


@dataclass(frozen=True)
class Counted:
    """Cells, a row of COLUMNS each (days since 2000-01-01); how many transactions went in, and how many could not."""

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
    day = (local - clock.day_start) // DAY
    daypart = np.where(timed, _dayparts(local, clock), NO_DAYPART)
    found = [
        _sums(day, ORDERS, counted),
        _sums(day, GUEST_ORDERS, counted & (known == 0)),
        _sums(day, REVENUE, timed, amounts),
        _sums(day, COUNTED_AMOUNT, counted, amounts),
        _sums(day, DAYPART_ORDERS, counted & (daypart != NO_DAYPART), first=daypart),
        _sums(day, DAYPART_REVENUE, timed & (daypart != NO_DAYPART), amounts, first=daypart),
        *_hours(local, day, timed, counted, amounts),
    ]
    which, transaction = _counted_lines(orders, ids, counted, categories.excluded)
    items, cents = orders.items[which], orders.cents[which]
    category = categories.of(items)
    line_day = day[transaction]
    with_item, item = _distinct(transaction, items)
    with_category, of_category = _distinct(transaction, category)
    found += [
        _sums(day[with_item], ITEM_ORDERS, first=item, second=daypart[with_item]),
        _sums(line_day, ITEM_REVENUE, values=cents, first=items),
        _sums(day[with_category], CATEGORY_ORDERS, first=of_category),
        _sums(line_day, CATEGORY_REVENUE, values=cents, first=category),
    ]
    return Counted(np.concatenate(found), int(np.count_nonzero(timed)), int(np.count_nonzero(local == MOST)))


def total(cells: Sequence[Whole]) -> Whole:
    """Several blocks' cells, none of which share an order, as one: rising by day, metric, first and second.

    Raises
    ------
    SourceError
        When a sum is too large for 64 bits.
    """
    rows = np.concatenate([EMPTY, *cells])
    order = np.lexsort(rows[:, 3::-1].T)
    rows = rows[order]
    opens = np.ones(len(rows), dtype=bool)
    opens[1:] = (rows[1:, :4] != rows[:-1, :4]).any(axis=1)
    if np.abs(rows[:, 4], dtype=np.float64).sum() >= TOO_LARGE:
        raise _out_of_range()
    merged = rows[opens]
    merged[:, 4] = np.add.reduceat(rows[:, 4], np.flatnonzero(opens)) if len(rows) else 0
    return merged


def _dayparts(local: Whole, clock: Clock) -> Whole:
    time = local % DAY
    window = np.searchsorted(clock.starts, time, side="right") - 1
    inside = (window >= 0) & (time < clock.untils[window])
    return np.where(inside, clock.daytime_ids[window], NO_DAYPART)


def _hours(
    local: Whole, day: Whole, timed: NDArray[np.bool_], counted: NDArray[np.bool_], amounts: Whole
) -> list[Whole]:
    hour, later = local % DAY // HOUR, local // DAY - day
    return [
        _sums(day, HOUR_ORDERS, counted, first=hour, second=later),
        _sums(day, HOUR_REVENUE, timed, amounts, first=hour, second=later),
    ]


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
    number, known = _numbered(names)
    codes = np.sort(transaction * max(len(known), 1) + number)
    codes = codes[np.append(True, np.diff(codes) != 0)] if len(codes) else codes
    place, number = np.divmod(codes, max(len(known), 1))
    return place, known[number] if len(known) else number


def _sums(
    day: Whole,
    metric: int,
    which: NDArray[np.bool_] | slice = EVERYTHING,
    values: Whole | None = None,
    *,
    first: Whole | None = None,
    second: Whole | None = None,
) -> Whole:
    """A cell for each day, `first` and `second` of the rows in `which`: how many there are, or the sum of `values`."""
    day = day[which]
    keys = [np.zeros(len(day), dtype=np.int64) if key is None else key[which] for key in (second, first)]
    keys.append(day)
    codes, sizes = np.zeros(len(keys[0]), dtype=np.int64), []
    for key in reversed(keys):
        number, names = _numbered(key)
        codes = codes * max(len(names), 1) + number
        sizes.append(names)
    group, found = _numbered(codes)
    sums = np.zeros(len(found), dtype=np.int64)
    if values is None:
        np.add.at(sums, group, 1)
    else:
        if np.abs(values[which], dtype=np.float64).sum() >= TOO_LARGE:
            raise _out_of_range()
        np.add.at(sums, group, values[which])
    seen = np.bincount(group, minlength=len(found)) > 0
    found, sums = found[seen], sums[seen]
    rest, seconds = np.divmod(found, max(len(sizes[2]), 1))
    days, firsts = np.divmod(rest, max(len(sizes[1]), 1))
    columns = (sizes[0][days], np.full(len(found), metric), sizes[1][firsts], sizes[2][seconds], sums)
    return np.stack(columns, axis=1).astype(np.int64).reshape(-1, len(COLUMNS))


def _numbered(values: Whole) -> tuple[Whole, Whole]:
    """Each value's number from 0 on, and the values by number, rising, maybe with some that do not occur."""
    least, most = (int(values.min()), int(values.max())) if len(values) else (0, -1)
    if most - least < 4 * len(values):
        return values - least, least + np.arange(most - least + 1)
    names, numbers = np.unique(values, return_inverse=True)
    return numbers, names


def _out_of_range() -> SourceError:
    return SourceError("The amounts of the orders have sums that are out of range.", code="data_out_of_range")
