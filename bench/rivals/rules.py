"""What a rival has to know of the rules, which somebody who writes it would have in his head."""

from __future__ import annotations

from datetime import date, timedelta

from analytics.dayparts import DEFAULT_DAYPARTS, MINUTE
from analytics.segments import load_map
from bench.data import AS_OF, TIMEZONE

BUSINESS_DATE = date(2025, 12, 31)
DAY_START = timedelta(hours=4)
TOP_N = 10
SEGMENTS = load_map(None).segments  # of the codes 111, 112, … 555: at 25 R + 5 F + M - 31
# Minutes after midnight at which a daypart begins, rising from midnight, and its id.
DAYPART_STARTS = sorted((daypart.start // MINUTE, daypart.daytime_id) for daypart in DEFAULT_DAYPARTS)

__all__ = ["AS_OF", "BUSINESS_DATE", "DAYPART_STARTS", "DAY_START", "SEGMENTS", "TIMEZONE", "TOP_N"]
