"""Trends, from plan to publish.

A full run counts orders per business day in chunks of transactions, and customers per business day in shards of
customers. From these come daily series; each shard of series is forecast and its weeks looked at; over all series
together it is found which rise or fall; then the new generation becomes current.

    chunks ─► tally ─┐
    customers ─► visits ─► fit, per shard of series ─► compare ─► publish

Every run is a full one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from psycopg import sql
from sqlalchemy.orm import Session

from analytics import daily, trends
from analytics import series as made
from analytics.daily import Clock, Orders
from analytics.forecasts import LEAST_DAYS
from analytics.series import Span
from analytics.trends import LEAST_WEEKS
from analytics.visits import visits as count_visits
from kinds.base import Counts, Draft, Kind, Stage, summed
from kinds.rfm.results import segment_days
from kinds.trends import plan as planning
from kinds.trends import rows
from kinds.trends.names import names_of
from settings import Settings
from source import customers, orders
from source.customers import Amounts
from source.orders import Block
from source.reading import Connection
from source.window import EPOCH, date_of, day_start
from store import progress, publishing
from store.database import driver
from store.models import Part, Run
from store.parts import Claim

_UNPUBLISHED = """
SELECT generation FROM analytics_runs
WHERE status IN ('failed', 'cancelled') AND kind = 'trends' AND ({})
"""


def tally(settings: Settings, claimed: Claim) -> Counts:
    """Count the chunk's orders per business day, block by block, and store what they come to."""
    run, part = claimed.run, claimed.part
    assert run.plan is not None
    clock = Clock.of(run.plan["dayparts"], day_start(run.plan))
    categories, _ = planning.categories(run.plan)
    cells, skipped, transactions = [], 0, 0
    with orders.snapshot(settings.source_database_url, run.plan) as crm:
        for block, amounts in customers.blocks(crm, run.plan, part):
            found = daily.count(_orders(block, amounts), clock, categories)
            cells.append(found.cells)
            skipped += found.skipped
            transactions += found.transactions
    rows.save_cells(claimed.session, run, part, daily.total(cells))
    return {"transactions": transactions, "skipped_transactions": skipped}


def _orders(block: Block, amounts: Amounts) -> Orders:
    return Orders(
        ids=block.ids,
        local=block.local,
        amounts=amounts.cents,
        known=amounts.known,
        line_ids=block.line_ids,
        items=block.items,
        quantities=block.quantities,
        cents=block.cents,
        rounded=block.rounded,
    )


def visits(settings: Settings, claimed: Claim) -> Counts:
    """Count the shard's customers per business day and cohort."""
    run, part = claimed.run, claimed.part
    assert run.plan is not None
    with orders.snapshot(settings.source_database_url, run.plan) as crm:
        found = count_visits(*customers.visits(crm, run.plan, part))
    rows.save_cells(claimed.session, run, part, found.cells)
    rows.save_cohorts(claimed.session, run, part, found.cohorts)
    return {"customers": found.customers}


def fit(settings: Settings, claimed: Claim) -> Counts:
    """Make the shard's series, forecast them, and store them with what their weeks tell."""
    run, shard = claimed.run, claimed.part.part
    assert run.plan is not None
    totals = rows.cells(claimed.session, run.generation, planning.TOTALS_SHARD)
    span = Span.of(totals, planning.day(run.plan["incomplete_from"]))
    if span is None:
        return {"series": 0}
    _, categories = planning.categories(run.plan)
    if shard == planning.TOTALS_SHARD:
        segments = [
            ((day - EPOCH).days, segment, customers, float(revenue))
            for day, segment, customers, revenue in segment_days(claimed.session)
        ]
        groups = [
            made.totals(totals, span),
            made.by_dimension(totals, span, categories),
            made.of_segments(segments, span),
        ]
    else:
        groups = [made.by_dimension(rows.cells(claimed.session, run.generation, shard), span, categories)]
    for series in groups:
        if series.keys:
            found = made.fit(series, span, run.plan["forecast_days"])
            names = names_of(settings, run.plan, series.keys)
            rows.save_fit(claimed.session, run, shard, series, span, found, names)
    return {"series": sum(len(series.keys) for series in groups)}


def compare(settings: Settings, claimed: Claim) -> Counts:
    """Find which series rise or fall, over all of them together, so that few are called so by chance."""
    generation = claimed.run.generation
    keys, weekly = rows.weekly(claimed.session, generation)
    found = trends.trends(weekly)
    rows.save_trends(claimed.session, generation, keys, found)
    return {name: int((found.direction == name).sum()) for name in (trends.RISING, trends.FALLING, trends.STEADY)}


def _days(session: Session, run: Run) -> dict[str, Any]:
    """Which days the series are of, and whether these are enough."""
    assert run.plan is not None
    needs = {"days": LEAST_DAYS, "weeks": LEAST_WEEKS}
    span = _span(session, run)
    days = 0 if span is None else max(span.last_complete - span.first + 1, 0)
    found: dict[str, Any] = {"complete_days": days, "needs": needs}
    if span is not None:
        found |= {
            "first_date": date_of(span.first).isoformat(),
            "last_date": date_of(span.last).isoformat(),
            "last_complete_date": date_of(span.last_complete).isoformat(),
            "closed_days": int((~span.is_open[:days]).sum()),
            "closed_weekdays": span.closed_weekdays(),
        }
    if days < LEAST_DAYS:
        found |= {"too_little_data": 1, "needed_days": LEAST_DAYS}
    return found


def _span(session: Session, run: Run) -> Span | None:
    assert run.plan is not None
    totals = rows.cells(session, run.generation, planning.TOTALS_SHARD)
    return Span.of(totals, planning.day(run.plan["incomplete_from"]))


class Trends(Kind):
    """Daily series, trends, forecasts and cohorts."""

    name = "trends"
    stages = (Stage("tally", tally), Stage("visits", visits), Stage("fit", fit), Stage("compare", compare))
    of_one_run = frozenset({"incomplete_from"})

    def plan(self, settings: Settings, crm: Connection) -> dict[str, Any]:
        """How many days are forecast, the source's column types, the dayparts, and the items' categories."""
        return planning.plan(settings, crm)

    def parts(self, draft: Draft) -> list[Part]:
        """Chunks of transactions, shards of customers and of series, and the look at all series together."""
        return planning.parts(draft)

    def publish(self, session: Session, settings: Settings, run: Run) -> None:
        """Name the run's generation."""
        counted = [part for stage in self.stages for part in progress.parts(session, run, stage.name)]
        run.counts = summed(counted) | _days(session, run)
        publishing.name_current(session, run, run.generation)

    def discard(self, session: Session, generations: Sequence[int]) -> None:
        """Delete the generations' counts, series and trends."""
        rows.discard(session, generations)

    def unneeded(self, session: Session) -> Sequence[Callable[[Session], None]]:
        """Rows of runs that were not published."""
        has_rows = sql.SQL(" OR ").join(
            sql.SQL("EXISTS (SELECT FROM {table} WHERE {table}.generation = analytics_runs.generation)").format(
                table=sql.Identifier(table)
            )
            for table in rows.TABLES
        )
        query = sql.SQL(_UNPUBLISHED).format(has_rows)
        found = [generation for (generation,) in driver(session).execute(query).fetchall()]
        return [partial(rows.discard, generations=found)] if found else []
