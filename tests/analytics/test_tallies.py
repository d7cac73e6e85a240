"""Tallies, against counting in plain Python; test_exactness.py tests them with a real database."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calendar import Calendar
from analytics.dayparts import DAY, Daypart
from analytics.margins import Costs
from analytics.tallies import LEAST, MOST, LineRules, Tally, tally, total
from errors import SourceError

HOUR = DAY // 24
DAYPARTS = [Daypart(4, "Night", 22 * HOUR, 2 * HOUR - 1), Daypart(2, "Lunch", 12 * HOUR, 14 * HOUR - 1)]
# Seven that are open to the past, a weekday each from day -100 on, and single days.
BUCKETS = [*range(-107, -93), 0, 1, 2]


def bucket_of(day: int) -> int:
    """The first day of a day's bucket."""
    same = [first for first in BUCKETS if (day - first) % 7 == 0]
    return 2 if day > 2 else max((first for first in same if first <= day), default=same[0])


CALENDAR = Calendar.of(
    [{"daytime_id": part.daytime_id, "windows": part.windows} for part in DAYPARTS],
    4 * HOUR,
    np.array(BUCKETS),
    np.array([BUCKETS.index(bucket_of(day)) for day in range(-107, 3)]),
    7,
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
Orders = dict[int, int]
Lines = list[tuple[int, int, int, int, int]]
Excluded = Collection[int]
CostsOf = Mapping[int, Decimal]
Plain = tuple[dict[tuple[int, ...], list[int]], Counter[tuple[int, int]], Counter[str]]


def tallied(orders: Orders, lines: Lines, excluded: Excluded = (), costs: CostsOf | None = None) -> Tally:
    columns = [np.array(column, dtype=np.int64) for column in (list(orders), list(orders.values()))]
    columns += list(np.array(lines, dtype=np.int64).reshape(-1, 5).T)
    of = None if costs is None else Costs.of(costs, 1000)
    rules = LineRules(np.array(sorted(excluded), dtype=np.int64), of)
    return tally(*columns, CALENDAR, rules)  # type: ignore[call-arg]


def plain(orders: Orders, lines: Lines, excluded: Excluded = (), costs: CostsOf | None = None) -> Plain:
    """Items and transactions by cell, and excluded lines, as the tally's docstring says."""
    left_out = Counter(skipped_transactions=sum(time == MOST for time in orders.values()))
    cells: dict[int, tuple[int, int] | None] = {}
    for number, time in orders.items():
        if time not in (LEAST, MOST):
            clock, day = time % DAY, (time - 4 * HOUR) // DAY
            daypart = 4 if clock >= 22 * HOUR or clock < 2 * HOUR else 2 if 12 * HOUR <= clock < 14 * HOUR else None
            cells[number] = None if daypart is None else (bucket_of(day), daypart)
            left_out["transactions_in_gaps"] += daypart is None
    sold: dict[tuple[int, ...], list[int]] = defaultdict(lambda: [0] * (3 if costs is None else 4))
    with_item, with_line = set(), set()
    for number, item, quantity, cents, rounded in lines:
        left_out["lines_without_transaction"] += number not in orders
        left_out["skipped_lines"] += number in cells and cents == LEAST
        left_out["rounded_lines"] += number in cells and cents != LEAST and item not in excluded and rounded
        cell = cells.get(number)
        if cell is not None and cents != LEAST and item not in excluded and (quantity > 0 or rounded):
            with_line.add((cell, number))
            sums = sold[*cell, item]
            sums[0] += (number, item) not in with_item
            sums[1] += quantity
            sums[2] += cents
            if costs is not None and item in costs:
                sums[3] += half_away(cents - Fraction(costs[item]) * 100 * quantity / 1000)
            with_item.add((number, item))
    return sold, Counter(cell for cell, _ in with_line), +left_out


def half_away(value: Fraction) -> int:
    return int(abs(value) + Fraction(1, 2)) * (1 if value > 0 else -1)


def as_plain(found: Tally) -> Plain:
    items = {tuple(row[:3]): row[3:] for row in found.items.to_numpy().tolist()}
    transactions = Counter({(bucket, part): count for bucket, part, count in found.transactions.to_numpy().tolist()})
    assert len(items) == len(found.items) and len(transactions) == len(found.transactions)
    return items, transactions, +Counter(found.left_out)


@given(orders=ORDERS, lines=LINES)
def test_a_tally_is_what_counting_by_hand_gives(orders: Orders, lines: Lines) -> None:
    assert as_plain(tallied(orders, lines)) == plain(orders, lines)


EXCLUDED = st.frozensets(st.sampled_from([1, 2, -7, 2**62, 99]))
COSTS = st.dictionaries(
    st.sampled_from([1, 3, -7, 2**62, 99]), st.decimals(-2, 9, places=3) | st.just(Decimal("123456789012.123456"))
)


@given(orders=ORDERS, lines=LINES, excluded=EXCLUDED, costs=COSTS)
def test_excluded_items_count_nowhere_and_margins_are_rounded_line_by_line(
    orders: Orders, lines: Lines, excluded: Excluded, costs: dict[int, Decimal]
) -> None:
    small = [line for line in lines if line[2] < 2**31]  # or their costs are out of range
    assert as_plain(tallied(orders, small, excluded, costs)) == plain(orders, small, excluded, costs)


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
