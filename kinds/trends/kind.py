"""Trends, from plan to publish.

A full run counts orders per business day in chunks of transactions, and customers per business day in shards of
customers. From these come daily series; each shard of series is forecast and its weeks looked at; over all series
together it is found which rise or fall; then the new generation becomes current.

    chunks ─► tally ─┐
    customers ─► visits ─► fit, per shard of series ─► compare ─► publish

An incremental run counts only the changed business days, fits the series that they touch, and compares all again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import Any

from psycopg import sql
from sqlalchemy.orm import Session

from analytics import daily
from analytics.cells import together
from analytics.daily import Clock, Orders
from analytics.visits import visits as count_visits
from kinds.base import Counts, Draft, Kind, Stage, summed
from kinds.trends import fitting, merge, rows, tallies
from kinds.trends import plan as planning
from kinds.trends.names import Names
from settings import Settings
from source import customers, orders, touched
from source.customers import Amounts
from source.orders import Block
from source.reading import Connection
from source.window import date_of, day_of, day_start
from store import ledger, progress, publishing
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
        ledger.save(claimed.session, run, part, crm.execute(touched.newest_days(run.plan, part)).fetchone())
    tallies.save_cells(claimed.session, run, part, together(cells))
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
    """Count the shard's customers per business day and cohort; in an incremental run, from a changed day on."""
    run, part = claimed.run, claimed.part
    assert run.plan is not None
    first: str | None = run.plan.get("visits_from", date.min.isoformat())
    if first is None:
        return {"customers": 0}
    since = day_of(first)
    with orders.snapshot(settings.source_database_url, run.plan) as crm:
        found = count_visits(
            *customers.visits(crm, run.plan, part, date_of(since) if since >= planning.FIRST_DAY else None)
        )
    tallies.save_cells(claimed.session, run, part, found.cells[found.cells[:, 0] >= since])
    tallies.save_cohorts(claimed.session, run, part, found.cohorts[found.cohorts[:, 0] >= since])
    return {"customers": found.customers}


def fit(settings: Settings, claimed: Claim) -> Counts:
    """Make the shard's series, forecast them, and store them with what their weeks tell."""
    session, run, shard = claimed.session, claimed.run, claimed.part.part
    assert run.plan is not None
    span = fitting.span_of(session, run.plan, run.generation)
    if span is None:
        return {"series": 0}
    series = fitting.series_of(session, run.plan, run.generation, shard, span)
    items = sorted({int(dimension.partition(":")[0]) for metric, dimension in series.keys if metric.startswith("item")})
    fitting.save(session, run.plan, run.generation, shard, series, span, Names.read(settings, run.plan, items))
    return {"series": len(series.keys)}


def compare(settings: Settings, claimed: Claim) -> Counts:
    """Find which series rise or fall, over all of them together."""
    return fitting.compare(claimed.session, claimed.run.generation)


class Trends(Kind):
    """Daily series, trends, forecasts and cohorts."""

    name = "trends"
    stages = (Stage("tally", tally), Stage("visits", visits), Stage("fit", fit), Stage("compare", compare))
    of_one_run = frozenset({"business_date", "daily_after", "incomplete_from", "days", "visits_from"})
    holds_customers = True  # ids, as the bounds of a run's shards of customers

    def plan(self, settings: Settings, crm: Connection) -> dict[str, Any]:
        """How many days are forecast, the source's column types, the dayparts, and the items' categories."""
        return planning.plan(settings, crm)

    def parts(self, draft: Draft) -> list[Part]:
        """Chunks of transactions, shards of customers and of series, and the look at all series together."""
        return planning.parts(draft)

    def refresh(self, draft: Draft) -> list[Part]:
        """The changed business days, as one part, and the customers from the first of them on, as another."""
        return planning.changed(draft)

    def prepare(self, session: Session, run: Run, parts: Sequence[Part]) -> None:
        """Create the run's ledger."""
        ledger.begin(session, run, [part for part in parts if part.stage == "tally"])

    def publish(self, session: Session, settings: Settings, run: Run) -> None:
        """Name the run's generation."""
        counted = [part for stage in self.stages for part in progress.parts(session, run, stage.name)]
        run.counts = summed(counted) | fitting.days(fitting.span_of(session, run.plan or {}, run.generation))
        publishing.name_current(session, run, run.generation)

    def merge(self, session: Session, settings: Settings, run: Run) -> None:
        """Replace the changed days' tallies in the published generation, and fit the series again that they touch."""
        merge.merge(session, settings, run)

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

    def forget(self, session: Session, mobile_id: str) -> int:
        """Remove the customer's id from shard bounds."""
        return progress.clear_bounds(session, self.name, mobile_id, ["visits"])
