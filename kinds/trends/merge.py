"""Trends' incremental run: the changed days' tallies replace the published ones, and the series follow.

All of it happens in the transaction that publishes. Forecasts and weeks follow from complete days. So a series is
fitted again if one of its complete days has changed, or if it has begun or ended; the others get the values of the days
that are not complete. If a day is complete now, or no longer closed, or the first day is another, all are fitted again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sqlalchemy.orm import Session

from analytics import series as made
from analytics.cells import Whole
from analytics.series import Key, Span
from analytics.smoothing import Reals
from kinds.base import Plan, summed
from kinds.trends import fitting, rows, tallies
from kinds.trends import plan as planning
from kinds.trends.names import Names
from kinds.trends.rows import NOTHING
from settings import Settings
from store import progress, publishing, runs
from store.models import Run


class Update(NamedTuple):
    """The series of a shard to fit again; and others with their values of the days that are not complete."""

    again: set[Key]
    late: dict[Key, Reals]


def merge(session: Session, settings: Settings, run: Run) -> None:
    """Replace the changed days' tallies in the published generation, and update its series and trends."""
    assert run.plan is not None
    plan, generation = run.plan, run.plan["since"]["generation"]
    published = runs.published_run(session, run.kind)
    before = fitting.span_of(session, published.plan or {}, generation)
    changed = tallies.replace(session, run)
    span = fitting.span_of(session, plan, generation)
    names = Names.read(settings, plan)
    rows.rename(session, generation, names)
    again, updates = None, []
    if span is not None and span.fits_like(before):
        longer = before is None or span.last != before.last
        updates = [_update(session, plan, shard, span, its, all_series=longer) for shard, its in changed.items()]
        again = set().union(*(update.again for update in updates))
    weeks_before = rows.weekly(session, generation, again)
    fitted = 0
    for shard in changed:
        fitted += _fit(session, plan, shard, span, updates[shard].again if updates else None, names)
    rows.set_last_points(session, generation, {key: its for update in updates for key, its in update.late.items()})
    counted = summed([part for stage in ("tally", "visits") for part in progress.parts(session, run, stage)])
    if not rows.are_equal(weeks_before, rows.weekly(session, generation, again)):
        counted |= fitting.compare(session, generation)
    run.counts = counted | {"days": len(plan["days"]), "fitted_series": fitted} | fitting.days(span)
    publishing.name_current(session, run, generation)


def _update(session: Session, plan: Plan, shard: int, span: Span, changed: Whole, *, all_series: bool) -> Update:
    """What changes in a shard's series; `all_series` if their last day is another."""
    generation, is_totals = plan["since"]["generation"], shard == planning.TOTALS_SHARD
    if not len(changed) and not all_series and not is_totals:
        return Update(set(), {})
    _, categories = planning.categories(plan)
    known, ahead = rows.first_days(session, generation, shard), span.incomplete()
    known = {key: first for key, first in known.items() if not key[0].startswith("segment")}
    late = fitting.values_of(session, plan, generation, shard, ahead)
    begun = {key for key in {*late, *known} if known.get(key, ahead.first) >= ahead.first}
    again = begun | made.keys_of(changed[changed[:, 0] < ahead.first], categories)
    longer = known.keys() if all_series else known.keys() & made.keys_of(changed, categories)
    nothing = np.zeros(ahead.days)
    others = {key: late.get(key, nothing) for key in longer - again}
    if not is_totals:
        return Update(again, others)
    of_segments = _update_segments(session, generation, span)
    return Update(again | of_segments.again, others | of_segments.late)


def _update_segments(session: Session, generation: int, span: Span) -> Update:
    """What changes in the series of segments, which follow from the history of segments instead of from tallies."""
    series, known = fitting.segments(session, span), rows.points(session, generation, fitting.SEGMENTS)
    again, late = known.keys() - set(series.keys), dict[Key, Reals]()
    for key, values, start in zip(series.keys, series.values, series.starts().tolist(), strict=True):
        first, *points = known.get(key, (None, NOTHING, NOTHING))
        now = values[start : span.complete], values[max(start, span.complete) :]
        if first != span.first + start or not np.array_equal(points[0], now[0], equal_nan=True):
            again.add(key)
        elif not np.array_equal(points[1], now[1], equal_nan=True):
            late[key] = now[1]
    return Update(again, late)


def _fit(session: Session, plan: Plan, shard: int, span: Span | None, again: set[Key] | None, names: Names) -> int:
    """Fit these series of a shard again, or all of it if None; returns how many."""
    generation = plan["since"]["generation"]
    known = rows.first_days(session, generation, shard).keys() if again is None else again
    rows.delete(session, "metric_results", generation, known)
    if span is None or again == set():
        return 0
    series = fitting.series_of(session, plan, generation, shard, span, again)
    fitting.save(session, plan, generation, shard, series, span, names)
    return len(series.keys)
