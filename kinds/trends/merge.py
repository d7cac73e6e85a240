"""Trends' incremental run: the changed days' tallies replace the published ones, and the series follow.

All of it happens in the transaction that publishes. Forecasts and weeks follow from complete days. So a series is
fitted again if one of its complete days has changed, or if it has begun or ended; the others get the values of the days
that are not complete. If a day is complete now, or no longer closed, or the first day is another, all are fitted again.
"""

from __future__ import annotations

import numpy as np
from sqlalchemy.orm import Session

from analytics import series as made
from analytics.cells import Whole
from analytics.series import Span
from kinds.base import summed
from kinds.trends import fitting, rows, tallies
from kinds.trends import plan as planning
from kinds.trends.names import Names
from settings import Settings
from store import progress, publishing, runs
from store.models import Run


def merge(session: Session, settings: Settings, run: Run) -> None:
    """Replace the changed days' tallies in the published generation, and update its series and trends."""
    assert run.plan is not None
    plan, generation = run.plan, run.plan["since"]["generation"]
    published = runs.published_run(session, run.kind)
    before = fitting.span_of(session, published.plan or {}, generation)
    weeks_before = rows.weekly(session, generation)
    changed = tallies.replace(session, run)
    span = fitting.span_of(session, plan, generation)
    names = Names.read(settings, plan)
    fitted = _fit_all(session, run, planning.TOTALS_SHARD, span, names)
    for shard in range(1, plan["item_shards"] + 1):
        if span is None or not span.fits_like(before):
            fitted += _fit_all(session, run, shard, span, names)
        else:
            longer = before is None or span.last != before.last
            fitted += _fit_changed(session, run, shard, span, changed[shard], names, all_series=longer)
    rows.rename(session, generation, names)
    counted = summed([part for stage in ("tally", "visits") for part in progress.parts(session, run, stage)])
    if not rows.are_equal(weeks_before, rows.weekly(session, generation)):
        counted |= fitting.compare(session, generation)
    run.counts = counted | {"days": len(plan["days"]), "fitted_series": fitted} | fitting.days(span)
    publishing.name_current(session, run, generation)


def _fit_all(session: Session, run: Run, shard: int, span: Span | None, names: Names) -> int:
    assert run.plan is not None
    generation = run.plan["since"]["generation"]
    rows.delete(session, "metric_results", generation, rows.first_days(session, generation, shard))
    if span is None:
        return 0
    series = fitting.series_of(session, run.plan, generation, shard, span)
    fitting.save(session, run.plan, generation, shard, series, span, names)
    return len(series.keys)


def _fit_changed(
    session: Session, run: Run, shard: int, span: Span, changed: Whole, names: Names, *, all_series: bool
) -> int:
    """Update the changed series of a shard of items, or all if their last day is another; how many were fitted."""
    assert run.plan is not None
    if not len(changed) and not all_series:
        return 0
    plan, generation = run.plan, run.plan["since"]["generation"]
    _, categories = planning.categories(plan)
    known, ahead = rows.first_days(session, generation, shard), span.incomplete()
    late = made.by_dimension(tallies.cells(session, generation, shard, since=ahead.first), ahead, categories)
    begun = {key for key in {*late.keys, *known} if known.get(key, ahead.first) >= ahead.first}
    again = begun | made.keys_of(changed[changed[:, 0] < ahead.first], categories)
    if again:
        rows.delete(session, "metric_results", generation, again)
        series = fitting.some_items(session, plan, generation, shard, span, again)
        fitting.save(session, plan, generation, shard, series, span, names)
    longer = known.keys() if all_series else known.keys() & made.keys_of(changed, categories)
    values = dict(zip(late.keys, np.nan_to_num(late.values), strict=True))
    nothing = np.zeros(ahead.days)
    tails = {key: (ahead.first - known[key], values.get(key, nothing)) for key in longer - again}
    rows.set_last_points(session, generation, tails)
    return len(again)
