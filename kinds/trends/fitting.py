"""From tallies to series, and from series to results: a whole shard, or some of its series."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from analytics import series as made
from analytics import trends
from analytics.forecasts import LEAST_DAYS
from analytics.series import Key, Series, Span
from analytics.smoothing import Reals
from analytics.trends import LEAST_WEEKS
from kinds.base import Counts, Plan
from kinds.rfm.results import segment_days
from kinds.trends import plan as planning
from kinds.trends import rows, tallies
from kinds.trends.names import Names
from source.window import EPOCH, date_of, day_of

SEGMENTS = ("segment_customers", "segment_revenue")


def span_of(session: Session, plan: Plan, generation: int) -> Span | None:
    """The days that a generation's series are of."""
    orders = tallies.cells(session, generation, planning.TOTALS_SHARD, stage="tally")
    return Span.of(orders, day_of(plan["incomplete_from"]))


def series_of(
    session: Session, plan: Plan, generation: int, shard: int, span: Span, keys: AbstractSet[Key] | None = None
) -> Series:
    """All series of a shard, or those with these keys, where they exist."""
    _, categories = planning.categories(plan)
    cells = tallies.cells(session, generation, shard)
    if shard == planning.TOTALS_SHARD:
        parts = [made.totals(cells, span), made.by_dimension(cells, span, categories), segments(session, span)]
        return Series.together(parts).only(keys)
    if keys is not None:
        items = {int(dimension.partition(":")[0]) for _, dimension in keys}
        cells = cells[np.isin(cells[:, 2], list(items))]
    return made.by_dimension(cells, span, categories).only(keys)


def segments(session: Session, span: Span) -> Series:
    """The series of segments."""
    days = [
        ((day - EPOCH).days, segment, customers, float(revenue))
        for day, segment, customers, revenue in segment_days(session)
    ]
    return made.of_segments(days, span)


def values_of(session: Session, plan: Plan, generation: int, shard: int, span: Span) -> dict[Key, Reals]:
    """The values of a shard's series but those of segments, in the days of the span; of items that have some."""
    _, categories = planning.categories(plan)
    cells = tallies.cells(session, generation, shard, since=span.first)
    found = made.by_dimension(cells, span, categories)
    values = dict(zip(found.keys, np.nan_to_num(found.values), strict=True))
    if shard == planning.TOTALS_SHARD:
        totals = made.totals(cells, span)
        values |= zip(totals.keys, totals.values, strict=True)
    return values


def save(session: Session, plan: Plan, generation: int, shard: int, series: Series, span: Span, names: Names) -> None:
    """Fit series and store them."""
    if series.keys:
        fit = made.fit(series, span, plan["forecast_days"])
        rows.save_fit(session, generation, shard, series, span, fit, names)


def compare(session: Session, generation: int) -> Counts:
    """Find which series rise or fall, over all of them together, so that few are called so by chance."""
    keys, weekly = rows.weekly(session, generation)
    found = trends.trends(weekly)
    rows.save_trends(session, generation, keys, found)
    return {name: int((found.direction == name).sum()) for name in (trends.RISING, trends.FALLING, trends.STEADY)}


def days(span: Span | None) -> dict[str, Any]:
    """Which days the series are of, and whether these are enough, for a run's counts."""
    needs = {"days": LEAST_DAYS, "weeks": LEAST_WEEKS}
    complete = 0 if span is None else span.complete
    found: dict[str, Any] = {"complete_days": complete, "needs": needs}
    if span is not None:
        found |= {
            "first_date": date_of(span.first).isoformat(),
            "last_date": date_of(span.last).isoformat(),
            "last_complete_date": date_of(span.last_complete).isoformat(),
            "closed_days": int((~span.is_open[:complete]).sum()),
            "closed_weekdays": span.closed_weekdays(),
        }
    if complete < LEAST_DAYS:
        found |= {"too_little_data": 1, "needed_days": LEAST_DAYS}
    return found
