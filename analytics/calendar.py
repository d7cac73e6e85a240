"""Mapping wall-clock times to dayparts and to buckets of business days.

A bucket is one weekday of several weeks, or a single day, so that a weekday's counts are those of its buckets. Earlier
versions had buckets of consecutive days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics.dayparts import DAY

Whole = NDArray[np.int64]
IN_A_GAP = -2


@dataclass(frozen=True)
class Calendar:
    """The dayparts and day buckets of wall-clock times.

    Parameters
    ----------
    starts, untils
        The windows' bounds, half-open and increasing, in microseconds after midnight; they do not overlap.
    dayparts
        Each window's place in `daytime_ids`; a daypart that wraps past midnight has two.
    daytime_ids
        The dayparts.
    day_start
        The start of a business day, in microseconds after midnight.
    day_buckets
        The first day of each day bucket, rising, in days since 2000-01-01.
    bucket_of
        The day bucket of each day from the first one's first day on.
    open_buckets
        The number of day buckets without a start, which come first: one per weekday, or one for all.
    """

    starts: Whole
    untils: Whole
    dayparts: Whole
    daytime_ids: Whole
    day_start: int
    day_buckets: Whole
    bucket_of: Whole
    open_buckets: int

    @classmethod
    def of(
        cls,
        dayparts: Sequence[Mapping[str, Any]],
        day_start: int,
        day_buckets: Whole,
        bucket_of: Whole,
        open_buckets: int,
    ) -> Calendar:
        """Built from dayparts with a `daytime_id` and `windows`."""
        windows = sorted((*window, place) for place, daypart in enumerate(dayparts) for window in daypart["windows"])
        starts, untils, places = np.array(windows, dtype=np.int64).T
        daytime_ids = np.array([daypart["daytime_id"] for daypart in dayparts], dtype=np.int64)
        return cls(starts, untils, places, daytime_ids, day_start, day_buckets, bucket_of, open_buckets)

    def cells(self, local: Whole) -> Whole:
        """Each time's day bucket and daypart as one number from 0 on, or IN_A_GAP."""
        clock = local % DAY
        window = np.searchsorted(self.starts, clock, side="right") - 1
        since = (local - self.day_start) // DAY - self.day_buckets[0]
        before = since < 0
        if before.any():
            since = np.where(before, since % self.open_buckets, since)
        day_bucket = self.bucket_of[np.minimum(since, len(self.bucket_of) - 1)]
        inside = (window >= 0) & (clock < self.untils[window])
        return np.where(inside, day_bucket * len(self.daytime_ids) + self.dayparts[window], IN_A_GAP)

    def place(self, cells: Whole) -> dict[str, Whole]:
        """The first day of the day bucket, and the daypart, of cells."""
        day_bucket, daypart = np.divmod(cells, len(self.daytime_ids))
        return {"day_bucket": self.day_buckets[day_bucket], "daytime_id": self.daytime_ids[daypart]}
