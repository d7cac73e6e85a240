"""Customers' occasions as of earlier days (cuts): the histories known then, and who ordered afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.btyd import Whole

STEP = 30  # days between cuts
RECENT = 9 * STEP  # the earliest cut; single occasions are needed from there on


@dataclass(frozen=True)
class Histories:
    """Customers with all their occasions; days are counted back from the last one, which is 0.

    Parameters
    ----------
    first, occasions
        Per customer the first occasion's day, and how many there were.
    older
        Per customer the last occasion's day of those at least `RECENT` days ago; -1 where there is none.
    owner, ago
        Per occasion of fewer than `RECENT` days ago its customer's place, rising, and its day.
    """

    first: Whole
    occasions: Whole
    older: Whole
    owner: Whole
    ago: Whole

    def at(self, cut: int) -> History:
        """The histories known `cut` days ago, of customers with an occasion by then; the cut's own day is included."""
        after = self.ago < cut
        later = np.bincount(self.owner[after], minlength=len(self.first))
        last = self.older.copy()
        last[last < 0] = self.first[last < 0]
        np.minimum.at(last, self.owner[~after], self.ago[~after])
        known = np.flatnonzero(self.first >= cut)
        first = self.first[known]
        return History(known, (self.occasions - later - 1)[known], first - last[known], first - cut)

    def ordered(self, cut: int, days: int) -> NDArray[np.bool_]:
        """Per customer, whether there was an occasion in the `days` days that followed a cut."""
        found = np.zeros(len(self.first), dtype=bool)
        found[self.owner[(self.ago < cut) & (self.ago >= cut - days)]] = True
        return found


@dataclass(frozen=True)
class History:
    """The customers known at a cut, by their places, with x, t_x and T in days."""

    known: Whole
    x: Whole
    t_x: Whole
    t: Whole
