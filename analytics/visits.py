"""Counting customers per business day, and cohorts: customers by the month of their first purchase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.cells import KNOWN_CUSTOMERS, NEW_CUSTOMERS, numbered, out_of_range, sums
from analytics.ordered import differs
from analytics.tallies import TOO_LARGE

Whole = NDArray[np.int64]
EPOCH = np.datetime64("2000-01-01", "D")
NEVER = np.iinfo(np.int64).max
COHORT_COLUMNS = ("day", "cohort", "customers", "cents")


@dataclass(frozen=True)
class Visits:
    """What a number of customers did; every count of a day follows from what they did up to that day.

    `cells` are those of analytics/cells.py. `cohorts` has rows of COHORT_COLUMNS: `cohort` is the month of the first
    purchase, counted from 2000-01; `customers` are those whose first purchase of this month was on this day; `cents`
    are all their amounts from that month on, those before the first purchase counted on its day. `customers` is how
    many have made a purchase.
    """

    cells: Whole
    cohorts: Whole
    customers: int


def visits(opens: NDArray[np.bool_], days: Whole, cents: Whole) -> Visits:
    """Count transactions that are in order of their customers; `opens` is true for each customer's first row.

    A purchase is an amount of at least a cent. Customers without one are in no cohort, and an amount from before the
    month of the first purchase is left out.

    Parameters
    ----------
    opens, days, cents
        Per transaction; days since 2000-01-01.

    Raises
    ------
    SourceError
        When a sum is too large for 64 bits.
    """
    if np.abs(cents, dtype=np.float64).sum() >= TOO_LARGE:
        raise out_of_range()
    customer = np.cumsum(opens) - 1
    bought = cents >= 1
    came, day = _distinct(customer[bought], days[bought])
    is_first = differs(came)
    first = np.full(int(customer[-1]) + 1 if len(customer) else 0, NEVER)
    first[came[is_first]] = day[is_first]
    cohort = np.zeros(len(first), dtype=np.int64)
    cohort[came[is_first]] = _months(day[is_first])
    of_month = is_first | differs(_months(day))
    return Visits(
        np.concatenate([sums(day, KNOWN_CUSTOMERS), sums(day, NEW_CUSTOMERS, is_first)]),
        _cohorts(day[of_month], cohort[came[of_month]], *_amounts(customer, days, cents, first, cohort)),
        int(np.count_nonzero(is_first)),
    )


def _amounts(customer: Whole, days: Whole, cents: Whole, first: Whole, cohort: Whole) -> tuple[Whole, Whole, Whole]:
    """The days, cohorts and cents of the amounts that count; `first` and `cohort` are by customer."""
    first, cohort = first[customer], cohort[customer]
    counts = days >= first
    before = np.flatnonzero(~counts & (first != NEVER))
    counts[before] = _months(days[before]) == cohort[before]
    return np.maximum(days, first)[counts], cohort[counts], cents[counts]


def _cohorts(came: Whole, of: Whole, days: Whole, cohorts: Whole, cents: Whole) -> Whole:
    """Rows of COHORT_COLUMNS from customers who `came` on a day for the first time in its month, and from amounts."""
    if not len(days):
        return np.empty((0, len(COHORT_COLUMNS)), dtype=np.int64)
    least = int(cohorts.min())
    span = int(cohorts.max()) - least + 1
    group, names = numbered(np.concatenate([came, days]) * span + np.concatenate([of, cohorts]) - least)
    customers = np.bincount(group[: len(came)], minlength=len(names))
    total = np.zeros(len(names), dtype=np.int64)
    np.add.at(total, group[len(came) :], cents)
    seen = np.bincount(group, minlength=len(names)) > 0
    day, cohort = np.divmod(names[seen], span)
    return np.stack([day, cohort + least, customers[seen], total[seen]], axis=1).astype(np.int64)


def _distinct(customer: Whole, days: Whole) -> tuple[Whole, Whole]:
    """The pairs that there are, each once and in order; customers are in order."""
    if not len(customer):
        return customer, days
    least = int(days.min())
    span = int(days.max()) - least + 1
    code = customer * span + (days - least)
    if (np.diff(code) < 0).any():
        code = np.sort(code, kind="stable")
    code = code[differs(code)]
    return code // span, code % span + least


def _months(days: Whole) -> Whole:
    """The months of days, counted from 2000-01."""
    found: Whole = (EPOCH + days).astype("datetime64[M]").astype(np.int64) - EPOCH.astype("datetime64[M]").astype(
        np.int64
    )
    return found
