"""Cells: what was counted per business day, as whole numbers that can be added and taken away exactly.

A cell is a row of COLUMNS: the day since 2000-01-01, what is counted (one of the numbers below), of what (`first` and
`second`), and the value. Neither the order of cells nor their division shows in their sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analytics.tallies import TOO_LARGE
from errors import SourceError

Whole = NDArray[np.int64]
EVERYTHING, NONE = slice(None), np.zeros(1, dtype=np.int64)

# What a cell counts; its `first` and `second` say of what.
ORDERS, GUEST_ORDERS, REVENUE, COUNTED_AMOUNT = 0, 1, 2, 3
DAYPART_ORDERS, DAYPART_REVENUE = 4, 5  # daytime_id
CATEGORY_ORDERS, CATEGORY_REVENUE = 6, 7  # category's number
ITEM_ORDERS, ITEM_REVENUE = 8, 9  # item_id; its orders also by daytime_id, NO_DAYPART in a gap between dayparts
HOUR_ORDERS, HOUR_REVENUE = 10, 11  # hour of the local clock; 1 where its date is the one after the business date
KNOWN_CUSTOMERS, NEW_CUSTOMERS = 12, 13
NO_DAYPART = -(2**31) - 1  # no int

COLUMNS = ("day", "metric", "first", "second", "value")
EMPTY = np.empty((0, len(COLUMNS)), dtype=np.int64)


def sums(
    day: Whole,
    metric: int,
    which: NDArray[np.bool_] | slice = EVERYTHING,
    values: Whole | None = None,
    *,
    first: Whole | None = None,
    second: Whole | None = None,
) -> Whole:
    """A cell for each day, `first` and `second` of the rows in `which`: how many there are, or the sum of `values`."""
    codes, names = np.zeros(1, dtype=np.int64), []
    for key in (day, first, second):
        number, of_key = (0, NONE) if key is None else numbered(key[which])
        codes = codes * max(len(of_key), 1) + number
        names.append(of_key)
    group, found = numbered(codes)
    count = np.bincount(group, minlength=len(found))
    added = count
    if values is not None:
        values = values[which]
        if np.abs(values, dtype=np.float64).sum() >= TOO_LARGE:
            raise out_of_range()
        added = np.zeros(len(found), dtype=np.int64)
        np.add.at(added, group, values)
    seen = count > 0
    found, added = found[seen], added[seen]
    rest, seconds = np.divmod(found, max(len(names[2]), 1))
    days, firsts = np.divmod(rest, max(len(names[1]), 1))
    columns = (names[0][days], np.full(len(found), metric), names[1][firsts], names[2][seconds], added)
    return np.stack(columns, axis=1).astype(np.int64).reshape(-1, len(COLUMNS))


def together(cells: Sequence[Whole]) -> Whole:
    """Several blocks' cells, none of which share an order; what is of the same day and name is to be added.

    Raises
    ------
    SourceError
        When a sum may be too large for 64 bits.
    """
    rows = np.concatenate([EMPTY, *cells])
    if np.abs(rows[:, 4], dtype=np.float64).sum() >= TOO_LARGE:
        raise out_of_range()
    return rows


def total(cells: Sequence[Whole]) -> Whole:
    """The same, added: rising by day, metric, first and second."""
    rows = together(cells)
    rows = rows[np.lexsort(rows[:, 3::-1].T)]
    opens = np.ones(len(rows), dtype=bool)
    opens[1:] = (rows[1:, :4] != rows[:-1, :4]).any(axis=1)
    merged = rows[opens]
    merged[:, 4] = np.add.reduceat(rows[:, 4], np.flatnonzero(opens)) if len(rows) else 0
    return merged


def difference(cells: Whole, before: Whole) -> Whole:
    """The cells whose values differ, with what was added to them."""
    rows = total([cells, before * np.array([1, 1, 1, 1, -1])])
    differ: Whole = rows[rows[:, 4] != 0]
    return differ


def numbered(values: Whole) -> tuple[Whole, Whole]:
    """Each value's number from 0 on, and the values by number, rising, maybe with some that do not occur."""
    least, most = (int(values.min()), int(values.max())) if len(values) else (0, -1)
    if most - least < 4 * len(values):
        return values - least, least + np.arange(most - least + 1)
    names, numbers = np.unique(values, return_inverse=True)
    return numbers, names


def distinct(values: Whole) -> tuple[Whole, Whole]:
    """Each value's number from 0 on, and the values by number, rising, each of which occurs."""
    number, names = numbered(values)
    seen = np.bincount(number, minlength=len(names)) > 0
    return (np.cumsum(seen) - 1)[number], names[seen]


def out_of_range() -> SourceError:
    """The error for sums that are too large for 64 bits."""
    return SourceError("The amounts of the orders have sums that are out of range.", code="data_out_of_range")
