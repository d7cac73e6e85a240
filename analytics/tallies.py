"""The menu's tallies: counts of orders and lines, given as arrays, per bucket of days, daypart and item.

Everything is a 64-bit integer, so the result does not depend on the order of rows or on their division into blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.calendar import IN_A_GAP, Calendar
from analytics.margins import Costs
from analytics.ordered import differs, transactions_of
from errors import SourceError

Whole = NDArray[np.int64]
LEAST, MOST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
NOT_COUNTED = -1
TOO_LARGE = 2.0**62  # half of the largest int64, so that the error of float sums does not matter


@dataclass(frozen=True)
class LineRules:
    """The excluded items, and the costs of items if margins are needed."""

    excluded: Whole
    costs: Costs | None = None


@dataclass(frozen=True)
class Tally:
    """The counts of some orders.

    `items` has a row per `day_bucket` (its first day, in days since 2000-01-01), `daytime_id` and `item_id`: `orders`,
    `quantity`, `cents`, and `margin` where the rules have costs. `transactions` has one per day bucket and daypart:
    those with a counted line. `left_out` says how many rows were left out, and why.
    """

    items: pd.DataFrame
    transactions: pd.DataFrame
    left_out: Mapping[str, int]


def tally(
    ids: Whole,
    local: Whole,
    line_ids: Whole,
    items: Whole,
    quantities: Whole,
    cents: Whole,
    rounded: Whole | None,
    calendar: Calendar,
    rules: LineRules,
) -> Tally:
    """Count a block of orders, which has all lines of each.

    Parameters
    ----------
    ids, local
        Per transaction its id and its wall-clock time, in microseconds since 2000-01-01: LEAST if it is not counted,
        MOST if it can't be counted, since its amount or time is NULL, infinite or NaN.
    line_ids, items, quantities, cents
        Per line its transaction's id, item, pieces (or thousandths) and amount: LEAST if its amount, quantity or item
        is NULL, infinite or NaN.
    rounded
        Per line 1 if its quantity was above zero and was rounded, maybe to zero, else 0; None if none was.

    Raises
    ------
    SourceError
        When a sum is too large for 64 bits.
    """
    ids, local = _in_order(ids, local)
    weighed = [] if rounded is None else [rounded]
    line_ids, items, quantities, cents, *weighed = _in_order(line_ids, items, quantities, cents, *weighed)
    timed = (local != LEAST) & (local != MOST)
    cell_of = np.where(timed, calendar.cells(local), NOT_COUNTED)
    opens, which, place = transactions_of(line_ids, ids)
    known = place < len(ids)
    cells = np.append(cell_of, NOT_COUNTED)[place]
    usable = cents != LEAST
    wanted = usable & ~np.isin(items, rules.excluded) if len(rules.excluded) else usable
    counts, rounded_lines = wanted & (quantities > 0), 0
    for rounded in weighed:
        of_rounded = wanted & (rounded > 0)
        counts |= of_rounded
        rounded_lines = int(np.count_nonzero(cells[which[of_rounded]] != NOT_COUNTED))
    left_out = {
        "lines_without_transaction": 0 if known.all() else int(np.count_nonzero(~known[which])),
        "skipped_lines": int(np.count_nonzero(cells[which[~usable]] != NOT_COUNTED)),
        "transactions_in_gaps": int(np.count_nonzero(cell_of == IN_A_GAP)),
        "skipped_transactions": int(np.count_nonzero(local == MOST)),
        "rounded_lines": rounded_lines,
    }
    if not counts.all():
        which, items, quantities, cents = (column[counts] for column in (which, items, quantities, cents))
        opens = differs(which)
    sums = {"quantity": quantities, "cents": cents}
    if rules.costs is not None:
        sums["margin"] = rules.costs.margins(items, quantities, cents)
    return Tally(
        _items(cells, which, items, opens | differs(items), sums, calendar),
        _transactions(cells[which[opens]], calendar),
        left_out,
    )


def total(tallies: Sequence[Tally]) -> Tally:
    """The sum of the tallies of several blocks without common orders.

    Raises
    ------
    SourceError
        When a sum is too large for 64 bits.
    """
    items = pd.concat([each.items for each in tallies])
    for column in items.columns.intersection(["quantity", "cents", "margin"]):
        if np.abs(items[column].to_numpy(), dtype=np.float64).sum() >= TOO_LARGE:
            raise _out_of_range()
    transactions = pd.concat([each.transactions for each in tallies])
    left_out = pd.DataFrame([each.left_out for each in tallies]).sum()
    return Tally(
        items.groupby(["day_bucket", "daytime_id", "item_id"], as_index=False).sum(),
        transactions.groupby(["day_bucket", "daytime_id"], as_index=False).sum(),
        {str(name): int(count) for name, count in left_out.items()},
    )


def _in_order(*columns: Whole) -> tuple[Whole, ...]:
    """Rows sorted by their first two columns; they mostly are already."""
    first, second = columns[:2]
    rises, same = first[1:] > first[:-1], first[1:] == first[:-1]
    if (rises | (same & (second[1:] >= second[:-1]))).all():
        return columns
    order = np.lexsort((second, first))
    return tuple(column[order] for column in columns)


def _items(
    cells: Whole,
    which: Whole,
    items: Whole,
    new: NDArray[np.bool_],
    sums: Mapping[str, Whole],
    calendar: Calendar,
) -> pd.DataFrame:
    """Sums by cell and item; `which` is each line's transaction, of those that `cells` are of.

    Lines of transactions that are not counted form a separate cell, which is dropped: faster than filtering the lines.
    """
    least = int(cells.min(where=cells >= 0, initial=MOST)) - 1
    codes = np.where(cells >= 0, cells - least, 0)
    item, names = _numbered(items)
    group, keys = _numbered(codes[which] * len(names) + item)
    orders = np.bincount(group[new], minlength=len(keys))
    found = (keys >= len(names)) & (orders > 0)
    code, item = np.divmod(keys[found], max(len(names), 1))
    return pd.DataFrame(
        calendar.place(code + least)
        | {
            "item_id": names[item],
            "orders": orders[found],
        }
        | {name: _sums(group, values, found) for name, values in sums.items()}
    )


def _numbered(values: Whole) -> tuple[Whole, Whole]:
    """Each value's number from 0 on, and the values by number, maybe with some that do not occur.

    If the values are dense, as is usual, their offset is the number, which is much faster than hashing.
    """
    least, most = (int(values.min()), int(values.max())) if len(values) else (0, -1)
    if most - least < len(values):
        return values - least, least + np.arange(most - least + 1)
    return pd.factorize(values)


def _transactions(cells: Whole, calendar: Calendar) -> pd.DataFrame:
    cell, keys = pd.factorize(cells[cells >= 0])
    return pd.DataFrame(calendar.place(keys) | {"transactions": np.bincount(cell, minlength=len(keys))})


def _sums(group: Whole, values: Whole, found: NDArray[np.bool_]) -> Whole:
    """The values' sums of the groups that are `found`."""
    sizes = np.abs(values, dtype=np.float64)
    if sizes.sum() >= TOO_LARGE and (np.bincount(group, sizes, minlength=len(found))[found] >= TOO_LARGE).any():
        raise _out_of_range()
    sums = np.zeros(len(found), dtype=np.int64)
    np.add.at(sums, group, values)
    return sums[found]


def _out_of_range() -> SourceError:
    return SourceError("The lines of the orders have sums that are out of range.", code="data_out_of_range")
