"""Counts per business day equal those of a loop over the orders, however they are divided into blocks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import cells
from analytics.cells import NO_DAYPART, difference, total
from analytics.daily import Categories, Clock, Orders, count
from analytics.dayparts import DAY
from analytics.tallies import LEAST, MOST
from errors import SourceError

HOUR = DAY // 24
CLOCK = Clock.of(
    [
        {"daytime_id": 7, "windows": [(0, 2 * HOUR), (20 * HOUR, DAY)]},
        {"daytime_id": 3, "windows": [(8 * HOUR, 14 * HOUR)]},
    ],
    day_start=4 * HOUR,
)
CATEGORIES = Categories(np.array([1, 5, 9]), np.array([0, 1, 0]), none=2, excluded=np.array([9]))
CATEGORY_OF = {1: 0, 5: 1}

transactions = st.lists(
    st.tuples(
        st.one_of(st.integers(3 * DAY, 6 * DAY - 1), st.sampled_from([LEAST, MOST])),
        st.integers(-500, 2000),
        st.integers(0, 1),
    ),
    max_size=12,
)
lines = st.lists(
    st.tuples(
        st.integers(-1, 12),
        st.sampled_from([1, 5, 9, 2**62, -3]),
        st.integers(-1, 3),
        st.one_of(st.integers(-100, 900), st.just(LEAST)),
    ),
    max_size=30,
)


def array(values):
    return np.array(values, dtype=np.int64)


def block(sold, ordered, numbers):
    mine = [line for line in ordered if line[0] in numbers or (0 in numbers and not 0 <= line[0] < len(sold))]
    columns = [array(column) for column in zip(*mine, strict=True)] or [array([])] * 4
    return Orders(
        ids=array(numbers),
        local=array([sold[number][0] for number in numbers]),
        amounts=array([sold[number][1] for number in numbers]),
        known=array([sold[number][2] for number in numbers]),
        line_ids=columns[0],
        items=columns[1],
        quantities=columns[2],
        cents=columns[3],
    )


def by_hand(sold, ordered):
    found, seen = Counter(), set()

    def add(day, metric, value, first=0, second=0):
        found[day, metric, first, second] += value

    places = {}
    for number, (local, cents, known) in enumerate(sold):
        if local in (LEAST, MOST):
            continue
        day, hour = (local - 4 * HOUR) // DAY, local % DAY // HOUR
        daypart = 7 if hour < 2 or hour >= 20 else 3 if 8 <= hour < 14 else NO_DAYPART
        later = local // DAY - day
        add(day, cells.REVENUE, cents)
        add(day, cells.HOUR_REVENUE, cents, hour, later)
        if daypart != NO_DAYPART:
            add(day, cells.DAYPART_REVENUE, cents, daypart)
        if cents >= 1:
            places[number] = day, daypart
            add(day, cells.ORDERS, 1)
            add(day, cells.GUEST_ORDERS, 1 - known)
            add(day, cells.COUNTED_AMOUNT, cents)
            add(day, cells.HOUR_ORDERS, 1, hour, later)
            if daypart != NO_DAYPART:
                add(day, cells.DAYPART_ORDERS, 1, daypart)
    for number, item, pieces, cents in ordered:
        if number not in places or pieces <= 0 or cents == LEAST or item == 9:
            continue
        day, daypart = places[number]
        category = CATEGORY_OF.get(item, 2)
        add(day, cells.ITEM_REVENUE, cents, item)
        add(day, cells.CATEGORY_REVENUE, cents, category)
        if (number, "item", item) not in seen:
            add(day, cells.ITEM_ORDERS, 1, item, daypart)
        if (number, "category", category) not in seen:
            add(day, cells.CATEGORY_ORDERS, 1, category)
        seen |= {(number, "item", item), (number, "category", category)}
    return {place: value for place, value in found.items() if value}


@given(transactions, lines, st.integers(1, 5))
def test_counts_equal_a_loop_over_the_orders(sold, ordered, size):
    blocks = [range(start, min(start + size, len(sold))) for start in range(0, len(sold), size)] or [range(0)]
    counted = [count(block(sold, ordered, list(numbers)), CLOCK, CATEGORIES) for numbers in blocks]
    summed = total([each.cells for each in counted])
    found = {tuple(cell[:4]): cell[4] for cell in summed.tolist() if cell[4]}
    assert found == by_hand(sold, ordered)
    assert len(summed) == len({tuple(cell[:4]) for cell in summed.tolist()})
    without = difference(summed, counted[0].cells)
    assert {tuple(cell[:4]): cell[4] for cell in without.tolist()} == {
        tuple(cell[:4]): cell[4] for cell in total([each.cells for each in counted[1:]]).tolist() if cell[4]
    }
    assert sum(each.skipped for each in counted) == sum(local == MOST for local, _, _ in sold)


def test_sums_beyond_64_bits_are_refused():
    sold = [(4 * DAY + 12 * HOUR, 2**62, 1), (4 * DAY + 12 * HOUR, 2**62, 1)]
    with pytest.raises(SourceError, match="out of range"):
        count(block(sold, [], [0, 1]), CLOCK, CATEGORIES)
