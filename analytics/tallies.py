"""Tallying the menu: orders and their lines, as arrays, to counts per stretch of days, daypart and item.

Everything is a whole number in 64 bits, so that neither the order of rows nor their division into blocks shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.dayparts import DAY
from errors import SourceError

Whole = NDArray[np.int64]
LEAST, MOST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
NOT_COUNTED, IN_A_GAP = -1, -2


@dataclass(frozen=True)
class Calendar:
    """Where a wall-clock time belongs: windows of the day, and stretches of business days.

    Parameters
    ----------
    starts, untils
        The windows' ends, half-open and rising, in microseconds after midnight; they do not overlap.
    dayparts
        Each window's place in `daytime_ids`; a daypart that wraps past midnight has two.
    daytime_ids
        The dayparts.
    day_start
        When a business day begins, in microseconds after midnight.
    stretches
        The first day of each stretch, rising, in days since 2000-01-01. What is before them all is in the first.
    """

    starts: Whole
    untils: Whole
    dayparts: Whole
    daytime_ids: Whole
    day_start: int
    stretches: Whole

    @classmethod
    def of(cls, dayparts: Sequence[Mapping[str, Any]], day_start: int, stretches: Whole) -> Calendar:
        """From dayparts with a `daytime_id` and `windows`."""
        windows = sorted((*window, place) for place, daypart in enumerate(dayparts) for window in daypart["windows"])
        starts, untils, places = np.array(windows, dtype=np.int64).T
        daytime_ids = np.array([daypart["daytime_id"] for daypart in dayparts], dtype=np.int64)
        return cls(starts, untils, places, daytime_ids, day_start, stretches)

    def cells(self, local: Whole) -> Whole:
        """Each time's stretch and daypart as one number from 0 on, or IN_A_GAP."""
        clock = local % DAY
        window = np.searchsorted(self.starts, clock, side="right") - 1
        day = (local - self.day_start) // DAY
        stretch = np.maximum(np.searchsorted(self.stretches, day, side="right") - 1, 0)
        inside = (window >= 0) & (clock < self.untils[window])
        return np.where(inside, stretch * len(self.daytime_ids) + self.dayparts[window], IN_A_GAP)

    def place(self, cells: Whole) -> dict[str, Whole]:
        """The first day of the stretch, and the daypart, of cells."""
        stretch, daypart = np.divmod(cells, len(self.daytime_ids))
        return {"stretch": self.stretches[stretch], "daytime_id": self.daytime_ids[daypart]}


@dataclass(frozen=True)
class Tally:
    """What a number of orders come to.

    `items` has a row per `stretch` (its first day, in days since 2000-01-01), `daytime_id` and `item_id`: `orders`,
    `quantity`, `cents`. `transactions` has one per stretch and daypart: those with a counted line. `left_out` says
    how many rows were left out, and why.
    """

    items: pd.DataFrame
    transactions: pd.DataFrame
    left_out: Mapping[str, int]


def tally(
    ids: Whole, local: Whole, line_ids: Whole, items: Whole, quantities: Whole, cents: Whole, calendar: Calendar
) -> Tally:
    """Count a block of orders, which has all lines of each.

    Parameters
    ----------
    ids, local
        Per transaction its id and its wall-clock time, in microseconds since 2000-01-01: LEAST where it is not to
        be counted, MOST where it can't be, since its amount or time is missing, infinite or not a number.
    line_ids, items, quantities, cents
        Per line its transaction's id, item, pieces and amount: LEAST where its amount, quantity or item is missing,
        infinite or not a number.

    Raises
    ------
    SourceError
        When a sum is too large for 64 bits.
    """
    ids, local = _in_order(ids, local)
    line_ids, items, quantities, cents = _in_order(line_ids, items, quantities, cents)
    timed = (local != LEAST) & (local != MOST)
    cell_of = np.where(timed, calendar.cells(local), NOT_COUNTED)
    order = np.searchsorted(ids, line_ids)
    known = np.append(ids, LEAST)[order] == line_ids if len(ids) else np.zeros(len(line_ids), dtype=bool)
    cell = np.append(cell_of, NOT_COUNTED)[np.where(known, order, len(ids))]
    usable = cents != LEAST
    counts = (cell >= 0) & usable & (quantities > 0)
    left_out = {
        "lines_without_transaction": int(np.count_nonzero(~known)),
        "skipped_lines": int(np.count_nonzero((cell != NOT_COUNTED) & ~usable)),
        "transactions_in_gaps": int(np.count_nonzero(cell_of == IN_A_GAP)),
        "skipped_transactions": int(np.count_nonzero(local == MOST)),
    }
    columns = (order, cell, items, quantities, cents)
    order, cell, items, quantities, cents = columns if counts.all() else (column[counts] for column in columns)
    opens = _differs(order)
    return Tally(
        _items(cell, items, opens | _differs(items), quantities, cents, calendar),
        _transactions(cell[opens], calendar),
        left_out,
    )


def total(tallies: Sequence[Tally]) -> Tally:
    """Several blocks' tallies, none of which share an order, as one.

    Raises
    ------
    SourceError
        When a sum is too large for 64 bits.
    """
    items = pd.concat([each.items for each in tallies])
    for column in ("quantity", "cents"):
        _check_range(items[column].to_numpy())
    transactions = pd.concat([each.transactions for each in tallies])
    left_out = pd.DataFrame([each.left_out for each in tallies]).sum()
    return Tally(
        items.groupby(["stretch", "daytime_id", "item_id"], as_index=False).sum(),
        transactions.groupby(["stretch", "daytime_id"], as_index=False).sum(),
        {str(name): int(count) for name, count in left_out.items()},
    )


def _in_order(*columns: Whole) -> tuple[Whole, ...]:
    """Rows in order of their first two columns; they mostly come so."""
    first, second = columns[:2]
    rises, same = first[1:] > first[:-1], first[1:] == first[:-1]
    if (rises | (same & (second[1:] >= second[:-1]))).all():
        return columns
    order = np.lexsort((second, first))
    return tuple(column[order] for column in columns)


def _differs(column: Whole) -> NDArray[np.bool_]:
    """Whether a row is other than the one before it; the first always is."""
    found = np.ones(len(column), dtype=bool)
    np.not_equal(column[1:], column[:-1], out=found[1:])
    return found


def _items(
    cell: Whole, items: Whole, new: NDArray[np.bool_], quantities: Whole, cents: Whole, calendar: Calendar
) -> pd.DataFrame:
    item, names = pd.factorize(items)
    group, keys = pd.factorize(cell * len(names) + item)
    cells, item = np.divmod(keys, max(len(names), 1))
    return pd.DataFrame(
        calendar.place(cells)
        | {
            "item_id": names[item],
            "orders": np.bincount(group[new], minlength=len(keys)),
            "quantity": _sums(group, quantities, len(keys)),
            "cents": _sums(group, cents, len(keys)),
        }
    )


def _transactions(cells: Whole, calendar: Calendar) -> pd.DataFrame:
    cell, keys = pd.factorize(cells)
    return pd.DataFrame(calendar.place(keys) | {"transactions": np.bincount(cell, minlength=len(keys))})


def _sums(group: Whole, values: Whole, groups: int) -> Whole:
    _check_range(values)
    sums = np.zeros(groups, dtype=np.int64)
    np.add.at(sums, group, values)
    return sums


def _check_range(values: Whole) -> None:
    # Twice as careful as need be, so that what floats lose does not matter.
    if np.abs(values, dtype=np.float64).sum() >= 2.0**62:
        raise SourceError("The lines of the orders have sums that are out of range.", code="data_out_of_range")
