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

RECENCY, FREQUENCY, CENTS = "recency_days", "frequency", "cents"
AVERAGE = "average"  # cents ÷ frequency
Point = int | str  # five times a cut point; a fraction as "7/3"
CutPoints = Mapping[str, Sequence[Point]]
NO_CUSTOMERS = (0, 0, 0, 0)  # cut points without customers


def stored(point: Fraction | int) -> Point:
    """Five times a cut point, as stored in JSON."""
    exact = Fraction(point)
    return exact.numerator if exact.denominator == 1 else f"{exact.numerator}/{exact.denominator}"


def sort_expression(measure: str) -> str:
    """The SQL expression that puts customers in order of a measure, of averages up to those that a float takes for one.

    Cents, below 10^14, and frequencies are exact as floats, and a quotient is rounded to the nearest float: what is
    larger is never the smaller float.
    """
    return "cents::float8 / frequency" if measure == AVERAGE else measure


def values_at(ranks: Sequence[int], groups: Iterable[tuple[Fraction, int]]) -> list[Fraction]:
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


def score_expression(measure: str, fifths: Sequence[Point]) -> str:
    """The SQL expression for a row's score, in exact arithmetic.

    F and M score 1 + the cut points strictly below the value, R 5 - those strictly below recency.
    """
    below = " + ".join(f"({_is_above(measure, point)})::int" for point in fifths)
    return f"5 - ({below})" if measure == RECENCY else f"1 + {below}"


def passed_expression(before: CutPoints, after: CutPoints) -> str:
    """The SQL condition that a row's value is between an old and a new cut point; no other row's score changes.

    Both cut points are of the same measures.
    """
    passed = [
        _is_between(measure, *sorted(pair, key=Fraction))
        for measure in sorted(before.keys() | after.keys())
        for pair in zip(before.get(measure, NO_CUSTOMERS), after.get(measure, NO_CUSTOMERS), strict=True)
        if _bound(measure, pair[0]) != _bound(measure, pair[1])
    ]
    return " OR ".join(passed) or "false"


def _bound(measure: str, fifths: Point) -> int | Fraction:
    """The value that a row has to exceed to be above a cut point.

    A whole number is above a fraction if it is above the next lower whole number.
    """
    point = Fraction(fifths) / 5
    return point if measure == AVERAGE else point.__floor__()


def _is_above(measure: str, fifths: Point) -> str:
    bound = _bound(measure, fifths)
    if measure != AVERAGE:
        return f"{measure} > {bound}"
    return f"cents * {bound.denominator}::numeric > frequency * ({bound.numerator})::numeric"


def _is_between(measure: str, low: Point, high: Point) -> str:
    if measure != AVERAGE:
        return f"{measure} BETWEEN {_bound(measure, low) + 1} AND {_bound(measure, high)}"
    return f"{_is_above(measure, low)} AND NOT {_is_above(measure, high)}"


def reachable_scores(points: Sequence[Point | Fraction]) -> list[int]:
    """The possible F or M scores in increasing order; fewer than five if cut points are equal."""
    return [1, *(1 + place for place in range(1, 5) if place == 4 or points[place - 1] != points[place])]
