"""Counting customers per business day, and cohorts: customers by the month of their first purchase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.daily import KNOWN_CUSTOMERS, NEW_CUSTOMERS
from analytics.tallies import TOO_LARGE
from errors import SourceError

Whole = NDArray[np.int64]
EPOCH = np.datetime64("2000-01-01", "D")
COHORT_COLUMNS = ("cohort", "month", "customers", "cents")


@dataclass(frozen=True)
class Visits:
    """What a number of customers did.

    `cells` are those of analytics/daily.py. `cohorts` has a row of COHORT_COLUMNS for each month of first purchases and
    month since then in which its customers came or had a refund: months are counted from 2000-01, `customers` are those
    with a purchase in that month, `cents` all amounts of it. `customers` is how many have made a purchase.
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
    customer = np.cumsum(opens) - 1
    customers = int(customer[-1]) + 1 if len(customer) else 0
    bought = cents >= 1
    first = np.full(customers, np.iinfo(np.int64).max)
    np.minimum.at(first, customer[bought], days[bought])
    known = first[customer] != np.iinfo(np.int64).max
    if np.abs(cents, dtype=np.float64).sum() >= TOO_LARGE:
        raise SourceError("The amounts of the customers have sums that are out of range.", code="data_out_of_range")
    return Visits(
        _cells(customer, days, bought, first),
        _cohorts(customer[known], days[known], cents[known], first),
        int(np.count_nonzero(first != np.iinfo(np.int64).max)),
    )


def _cells(customer: Whole, days: Whole, bought: NDArray[np.bool_], first: Whole) -> Whole:
    found = []
    came, day = _distinct(customer[bought], days[bought])
    for metric, of_days in ((KNOWN_CUSTOMERS, day), (NEW_CUSTOMERS, day[day == first[came]])):
        names, count = np.unique(of_days, return_counts=True)
        zero = np.zeros(len(names), dtype=np.int64)
        found.append(np.stack([names, zero + metric, zero, zero, count], axis=1))
    return np.concatenate(found).astype(np.int64)


def _cohorts(customer: Whole, days: Whole, cents: Whole, first: Whole) -> Whole:
    month, cohort = _months(days), _months(first[customer])
    since = month >= cohort
    customer, month, cohort, cents = customer[since], month[since], cohort[since], cents[since]
    if not len(month):
        return np.empty((0, len(COHORT_COLUMNS)), dtype=np.int64)
    span = int(month.max()) - int(cohort.min()) + 1
    place = (cohort - cohort.min()) * span + (month - cohort.min())
    names, group = np.unique(place, return_inverse=True)
    sums = np.zeros(len(names), dtype=np.int64)
    np.add.at(sums, group, cents)
    bought = cents >= 1
    _, of_customer = _distinct(customer[bought], group[bought])
    came = np.bincount(of_customer, minlength=len(names))
    cohorts, months = np.divmod(names, span)
    return np.stack([cohorts + cohort.min(), months + cohort.min(), came, sums], axis=1).astype(np.int64)


def _distinct(customer: Whole, names: Whole) -> tuple[Whole, Whole]:
    """The pairs that there are, each once."""
    if not len(customer):
        return customer, names
    least = int(names.min())
    span = int(names.max()) - least + 1
    code = customer * span + (names - least)
    if (np.diff(code) < 0).any():
        code = np.sort(code, kind="stable")
    code = code[np.append(True, np.diff(code) != 0)]
    return code // span, code % span + least


def _months(days: Whole) -> Whole:
    """The months of days, counted from 2000-01."""
    found: Whole = (EPOCH + days).astype("datetime64[M]").astype(np.int64) - EPOCH.astype("datetime64[M]").astype(
        np.int64
    )
    return found
