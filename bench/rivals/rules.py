"""The rules that the other implementations have as constants."""

from __future__ import annotations

from datetime import date, timedelta

from analytics.dayparts import DEFAULT_DAYPARTS, MINUTE
from analytics.segments import load_map
from bench.data import AS_OF, TIMEZONE

BUSINESS_DATE = date(2025, 12, 31)
DAY_START = timedelta(hours=4)
TOP_N = 10
SEGMENTS = load_map(None).segments  # of the codes 111, 112, … 555; index 25 R + 5 F + M - 31
# The start of each daypart in minutes after midnight, in increasing order, and its id.
DAYPART_STARTS = sorted((daypart.start // MINUTE, daypart.daytime_id) for daypart in DEFAULT_DAYPARTS)

__all__ = ["AS_OF", "BUSINESS_DATE", "DAYPART_STARTS", "DAY_START", "SEGMENTS", "TIMEZONE", "TOP_N"]
