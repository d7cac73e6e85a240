"""Customers per business day, and cohorts, equal those of a loop over the customers."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics.cells import KNOWN_CUSTOMERS, NEW_CUSTOMERS
from analytics.visits import visits

EPOCH = date(2000, 1, 1)
customers = st.lists(
    st.lists(st.tuples(st.integers(-40, 400), st.sampled_from([-300, 0, 1, 250, 900])), min_size=1, max_size=6),
    max_size=8,
)


def month(day: int) -> int:
    found = EPOCH + timedelta(days=day)
    return 12 * (found.year - 2000) + found.month - 1


def counted(orders):
    rows = [(place == 0, *row) for its in orders for place, row in enumerate(its)]
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    return visits(*(np.array(list(column), dtype=kind) for column, kind in zip(columns, (bool, int, int), strict=True)))


@given(customers, st.integers(-40, 400))
def test_what_is_counted_up_to_a_day_follows_from_what_was_done_up_to_it(orders, day):
    whole, before = counted(orders), counted([its for each in orders if (its := [row for row in each if row[0] < day])])
    assert sorted(before.cells.tolist()) == sorted(cell for cell in whole.cells.tolist() if cell[0] < day)
    assert before.cohorts.tolist() == [cell for cell in whole.cohorts.tolist() if cell[0] < day]


@given(customers)
def test_visits_equal_a_loop_over_the_customers(orders):
    found = counted(orders)
    cells, came, revenue = Counter(), defaultdict(set), Counter()
    for number, its in enumerate(orders):
        bought = {day for day, amount in its if amount >= 1}
        cells.update((day, KNOWN_CUSTOMERS) for day in bought)
        if not bought:
            continue
        cells[min(bought), NEW_CUSTOMERS] += 1
        cohort = month(min(bought))
        for day, amount in its:
            if month(day) >= cohort:
                revenue[max(day, min(bought)), cohort] += amount
        for of in {month(day) for day in bought}:
            came[min(day for day in bought if month(day) == of), cohort].add(number)
    assert {(day, metric): count for day, metric, _, _, count in found.cells.tolist()} == dict(cells)
    assert {(day, cohort): (count, total) for day, cohort, count, total in found.cohorts.tolist()} == {
        place: (len(came[place]), total) for place, total in revenue.items()
    }
    assert found.customers == sum(any(amount >= 1 for _, amount in its) for its in orders)
