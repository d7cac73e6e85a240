"""Quintile scores: exact cut points in integers, and the one expression that turns a value into 1 to 5.

The cut points are the 20/40/60/80 % quantiles with linear interpolation, as `pandas.qcut` takes its edges
(NumPy's `quantile`, method "linear"; Hyndman and Fan's type 7). Interpolating between integers at fifths
gives fifths, so a cut point is kept as five times its value, a whole number:
nothing is ever rounded, and neither the order of rows nor their division into shards can show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MEASURES = ("recency_days", "frequency", "cents")
CutPoints = Mapping[str, Sequence[int]]
NOBODYS = (0, 0, 0, 0)  # cut points where there is no customer


def quantile_ranks(count: int) -> list[int]:
    """The ranks (0-based, rising) that the four quantiles of `count` sorted values lie between: 8 of them.

    For quintile k of n values the position is k(n - 1)/5; its floor and the next rank are what is needed.
    """
    last = count - 1
    return [min(k * last // 5 + step, last) for k in range(1, 5) for step in (0, 1)]


def cut_points(count: int, ranked: Sequence[int]) -> list[int]:
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
        fifths.append(5 * below + (above - below) * (k * (count - 1) % 5))
    return fifths


def score_expression(measure: str, fifths: Sequence[int]) -> str:
    """The SQL expression for a column's score: integers alone, so that it means the same everywhere.

    F and M score 1 + the cut points strictly below the value, R 5 - those strictly below recency. A whole number is
    above a fraction where it is above the next whole number down.
    """
    below = " + ".join(f"({measure} > {int(point) // 5})::int" for point in fifths)
    return f"5 - ({below})" if measure == "recency_days" else f"1 + {below}"


def passed_expression(before: CutPoints, after: CutPoints) -> str:
    """The SQL condition that a cut point passed a row's value; with the cut points no other row's score changes."""
    passed = [
        f"{measure} BETWEEN {min(pair) // 5 + 1} AND {max(pair) // 5}"
        for measure in MEASURES
        for pair in zip(before.get(measure, NOBODYS), after.get(measure, NOBODYS), strict=True)
        if min(pair) // 5 < max(pair) // 5
    ]
    return " OR ".join(passed) or "false"


def reachable_scores(fifths: Sequence[int]) -> list[int]:
    """The F or M scores that a value can have, rising; fewer than five where cut points are equal."""
    return [1, *(1 + place for place in range(1, 5) if place == 4 or fifths[place - 1] < fifths[place])]
