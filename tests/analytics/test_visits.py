"""Customers per business day, and cohorts, equal those of a loop over the customers."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics.daily import KNOWN_CUSTOMERS, NEW_CUSTOMERS
from analytics.visits import visits

EPOCH = date(2000, 1, 1)
customers = st.lists(
    st.lists(st.tuples(st.integers(-40, 400), st.sampled_from([-300, 0, 1, 250, 900])), min_size=1, max_size=6),
    max_size=8,
)


def month(day: int) -> int:
    found = EPOCH + timedelta(days=day)
    return 12 * (found.year - 2000) + found.month - 1


@given(customers)
def test_visits_equal_a_loop_over_the_customers(orders):
    rows = [(place == 0, *row) for its in orders for place, row in enumerate(its)]
    opens = np.array([opens for opens, _, _ in rows], dtype=bool)
    days = np.array([day for _, day, _ in rows], dtype=np.int64)
    found = visits(opens, days, np.array([amount for _, _, amount in rows], dtype=np.int64))

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
                revenue[cohort, month(day)] += amount
                came[cohort, month(day)] |= {number} if amount >= 1 else set()
    assert {(day, metric): count for day, metric, _, _, count in found.cells.tolist()} == dict(cells)
    assert {(cohort, of): (count, total) for cohort, of, count, total in found.cohorts.tolist()} == {
        place: (len(came[place]), total) for place, total in revenue.items()
    }
    assert found.customers == sum(any(amount >= 1 for _, amount in its) for its in orders)
