"""Tallies, against counting in plain Python; what a real database brings is in test_exactness.py."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.dayparts import DAY, Daypart
from analytics.tallies import LEAST, MOST, Calendar, Tally, tally, total
from errors import SourceError

HOUR = DAY // 24
DAYPARTS = [Daypart(4, "Night", 22 * HOUR, 2 * HOUR - 1), Daypart(2, "Lunch", 12 * HOUR, 14 * HOUR - 1)]
STRETCHES = [-100, -5, 0, 1, 2]
CALENDAR = Calendar.of(
    [{"daytime_id": part.daytime_id, "windows": part.windows} for part in DAYPARTS], 4 * HOUR, np.array(STRETCHES)
)

TIMES = st.integers(-8 * DAY, 4 * DAY) | st.sampled_from(
    [LEAST, MOST, -101 * DAY, -1, 0, 2 * HOUR - 1, 2 * HOUR, 4 * HOUR - 1, 4 * HOUR, 12 * HOUR, 14 * HOUR, 22 * HOUR]
)
ORDERS = st.dictionaries(st.integers(-3, 12) | st.sampled_from([2**62, -(2**63)]), TIMES, max_size=12)
LINES = st.lists(
    st.tuples(
        st.integers(-3, 12) | st.sampled_from([2**62, -(2**63)]),
        st.sampled_from([1, 2, 3, -7, 2**62]),
        st.sampled_from([1, 1, 2, 0, -1, 2**31]),
        st.sampled_from([100, 250, -30, 0, LEAST, 2**40]),
        st.sampled_from([0, 0, 1]),
    ),
    max_size=40,
)
Orders, Lines = dict[int, int], list[tuple[int, int, int, int, int]]
Plain = tuple[dict[tuple[int, ...], list[int]], Counter[tuple[int, int]], Counter[str]]


def tallied(orders: Orders, lines: Lines) -> Tally:
    columns = [np.array(column, dtype=np.int64) for column in (list(orders), list(orders.values()))]
    columns += list(np.array(lines, dtype=np.int64).reshape(-1, 5).T)
    return tally(*columns, CALENDAR)


def plain(orders: Orders, lines: Lines) -> Plain:
    """Items and transactions by cell, and what was left out, as the tally's docstring says."""
    left_out = Counter(skipped_transactions=sum(time == MOST for time in orders.values()))
    cells: dict[int, tuple[int, int] | None] = {}
    for number, time in orders.items():
        if time not in (LEAST, MOST):
            clock, day = time % DAY, (time - 4 * HOUR) // DAY
            stretch = next((one for one, other in pairwise([*STRETCHES, 10**9]) if one <= day < other), STRETCHES[0])
            daypart = 4 if clock >= 22 * HOUR or clock < 2 * HOUR else 2 if 12 * HOUR <= clock < 14 * HOUR else None
            cells[number] = None if daypart is None else (stretch, daypart)
            left_out["transactions_in_gaps"] += daypart is None
    sold: dict[tuple[int, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    with_item, with_line = set(), set()
    for number, item, quantity, cents, rounded in lines:
        left_out["lines_without_transaction"] += number not in orders
        left_out["skipped_lines"] += number in cells and cents == LEAST
        left_out["rounded_lines"] += number in cells and cents != LEAST and rounded
        cell = cells.get(number)
        if cell is not None and cents != LEAST and (quantity > 0 or rounded):
            with_line.add((cell, number))
            sums = sold[*cell, item]
            sums[0] += (number, item) not in with_item
            sums[1] += quantity
            sums[2] += cents
            with_item.add((number, item))
    return sold, Counter(cell for cell, _ in with_line), +left_out


def as_plain(found: Tally) -> Plain:
    items = {tuple(row[:3]): row[3:] for row in found.items.to_numpy().tolist()}
    transactions = Counter({(stretch, part): count for stretch, part, count in found.transactions.to_numpy().tolist()})
    assert len(items) == len(found.items) and len(transactions) == len(found.transactions)
    return items, transactions, +Counter(found.left_out)


@given(orders=ORDERS, lines=LINES)
def test_a_tally_is_what_counting_by_hand_gives(orders: Orders, lines: Lines) -> None:
    assert as_plain(tallied(orders, lines)) == plain(orders, lines)


@given(orders=ORDERS, lines=LINES, blocks=st.integers(1, 4))
def test_blocks_add_up_to_the_whole(orders: Orders, lines: Lines, blocks: int) -> None:
    parts = [
        tallied(
            {number: time for number, time in orders.items() if number % blocks == block},
            [line for line in lines if line[0] % blocks == block],
        )
        for block in range(blocks)
    ]
    assert as_plain(total(parts)) == plain(orders, lines)


def test_a_sum_that_64_bits_cannot_hold_is_refused_and_never_wraps() -> None:
    large = [(1, 1, 1, 2**61, 0)] * 3
    with pytest.raises(SourceError, match="out of range"):
        tallied({1: 0}, large)
    with pytest.raises(SourceError, match="out of range"):
        total([tallied({1: 0}, large[:1])] * 3)
