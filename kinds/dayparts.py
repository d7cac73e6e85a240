"""The dayparts that a run counts by: the CRM's, checked, or the default ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analytics import dayparts
from analytics.dayparts import Daypart
from source import reading


def read_dayparts(crm: reading.Connection) -> Sequence[Daypart]:
    """The CRM's dayparts, checked, or the default ones if it has none."""
    found = [Daypart(row.daytime_id, row.label, row.start, row.end) for row in reading.daytimes(crm)]
    dayparts.check(found)
    return found or dayparts.DEFAULT_DAYPARTS


def planned(crm: reading.Connection) -> list[dict[str, Any]]:
    """The dayparts as a run's plan has them."""
    return [
        {"daytime_id": daypart.daytime_id, "label": daypart.label, "windows": daypart.windows}
        for daypart in read_dayparts(crm)
    ]
