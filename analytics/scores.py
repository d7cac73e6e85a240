"""Cut points and scores: quintiles over all customers, or the segment map's own, exact in integers and fractions.

The quintiles' cut points are the 20/40/60/80 % quantiles with linear interpolation, as the edges of `pandas.qcut`
(NumPy's `quantile`, method "linear"; Hyndman and Fan's type 7). Interpolating between integers at fifths gives fifths,
so a cut point is stored as five times its value, mostly a whole number. Nothing is rounded, so the result does not
depend on the order of rows or on shards.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import TypeVar

# A customer's recency is stored as `last_day`, the business date of the last purchase; dates are days since 2000-01-01.
RECENCY, FREQUENCY, CENTS = "recency_days", "frequency", "cents"
AVERAGE = "average"  # cents ÷ frequency
Value = TypeVar("Value", int, Fraction)
Point = int | str  # five times a cut point; a fraction as "7/3"
CutPoints = Mapping[str, Sequence[Point]]
NO_CUSTOMERS = (0, 0, 0, 0)  # cut points without customers


def stored(point: Fraction | int) -> Point:
    """Five times a cut point, as stored in JSON."""
    exact = Fraction(point)
    return exact.numerator if exact.denominator == 1 else f"{exact.numerator}/{exact.denominator}"


def value_expression(measure: str, today: int) -> str:
    """The SQL expression for a customer's value of a measure on a business date, of averages as a float.

    Cents, below 10^14, and frequencies are exact as floats, and a quotient is rounded to the nearest float: what is
    larger is never the smaller float.
    """
    if measure == RECENCY:
        return f"{today} - last_day"
    return "cents::float8 / frequency" if measure == AVERAGE else measure


def values_at(ranks: Sequence[int], groups: Iterable[tuple[Value, int]]) -> list[Value]:
    """The values at these ranks (0-based) of a list that is given by its values and how often each comes."""
    ordered = sorted(groups)
    ends = list(accumulate(count for _, count in ordered))
    return [ordered[bisect_right(ends, rank)][0] for rank in ranks]


def quantile_ranks(count: int) -> list[int]:
    """The eight ranks (0-based, increasing) between which the four quantiles of `count` sorted values lie.

    For quintile k of n values the position is k(n - 1)/5; its floor and the next rank are what is needed.
    """
    last = count - 1
    return [min(k * last // 5 + step, last) for k in range(1, 5) for step in (0, 1)]


def cut_points(count: int, ranked: Sequence[int | Fraction]) -> list[Point]:
    """Five times the four cut points of `count` values.

    Parameters
    ----------
    count
        How many values there are, at least 1.
    ranked
        The values at `quantile_ranks(count)`, in that order.
    """
    fifths = []
    for k in range(1, 5):
        below, above = ranked[2 * k - 2 : 2 * k]
        fifths.append(stored(5 * below + (above - below) * (k * (count - 1) % 5)))
    return fifths


def quintiles(groups: Iterable[tuple[int, int]]) -> list[Point]:
    """Five times the four cut points of values that are given with how often each comes, at least one of them."""
    counted = list(groups)  # as integers, which are sorted much faster than fractions
    count = sum(number for _, number in counted)
    return cut_points(count, values_at(quantile_ranks(count), counted))


def surrounding_ranks(count: int, beside: int) -> list[int]:
    """For each cut point of `count` values, the ranks that are `beside` below and above it."""
    ranks = quantile_ranks(count)
    return [
        rank
        for low, high in zip(ranks[::2], ranks[1::2], strict=True)
        for rank in (max(low - beside, 0), min(high + beside, count - 1))
    ]


def score_expression(measure: str, fifths: Sequence[Point], today: int) -> str:
    """The SQL expression for a row's score on a business date, in exact arithmetic.

    F and M score 1 + the cut points strictly below the value, R 5 - those strictly below recency. The cut points rise,
    so two or three comparisons find the score.
    """
    first, second, third, fourth = (_is_above(measure, point, today) for point in fifths)
    score = [5, 4, 3, 2, 1] if measure == RECENCY else [1, 2, 3, 4, 5]
    low = f"CASE WHEN {first} THEN {score[1]} ELSE {score[0]} END"
    high = f"CASE WHEN {fourth} THEN {score[4]} WHEN {third} THEN {score[3]} ELSE {score[2]} END"
    return f"CASE WHEN {second} THEN {high} ELSE {low} END"


def passed_expression(before: CutPoints, after: CutPoints, was: int, today: int) -> str:
    """The SQL condition that a row is between an old and a new cut point; no other row's score changes.

    Both cut points are of the same measures; the old ones are those of the business date `was`.
    """
    passed = []
    for measure in sorted(before.keys() | after.keys()):
        for old, new in zip(before.get(measure, NO_CUSTOMERS), after.get(measure, NO_CUSTOMERS), strict=True):
            if measure == AVERAGE:
                low, high = sorted((old, new), key=Fraction)
                if low != high:
                    passed.append(f"{_is_above(measure, low, today)} AND NOT {_is_above(measure, high, today)}")
                continue
            low, high = sorted((edge(measure, old, was), edge(measure, new, today)))
            if low < high:
                passed.append(f"{column(measure)} BETWEEN {low} AND {high - 1}")
    return " OR ".join(passed) or "false"


def column(measure: str) -> str:
    """The column that a measure, other than averages, is computed from."""
    return "last_day" if measure == RECENCY else measure


def edge(measure: str, fifths: Point, today: int) -> int:
    """The lowest value of the measure's column that is on the upper side of a cut point.

    A whole number is above a fraction if it is above the next lower whole number. A last day is on the upper side if
    its recency is not above the cut point.
    """
    bound = (Fraction(fifths) / 5).__floor__()
    return today - bound if measure == RECENCY else bound + 1


def _is_above(measure: str, fifths: Point, today: int) -> str:
    if measure == AVERAGE:
        bound = Fraction(fifths) / 5
        return f"cents * {bound.denominator}::numeric > frequency * ({bound.numerator})::numeric"
    sign = "<" if measure == RECENCY else ">="
    return f"{column(measure)} {sign} {edge(measure, fifths, today)}"


def reachable_scores(points: Sequence[Point | Fraction]) -> list[int]:
    """The possible F or M scores in increasing order; fewer than five if cut points are equal."""
    return [1, *(1 + place for place in range(1, 5) if place == 4 or points[place - 1] != points[place])]
