"""The menu's rankings, from plan to publish.

A full run divides the transactions into chunks. Each chunk is counted per bucket of business days, daypart and item;
each daypart's items are ranked over all chunks; then the new generation is published.

    chunks ─► tally ─► rank, per daypart ─► publish

An incremental run counts only the changed business days, as one part, and merges them into the published generation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from analytics import tallies
from analytics.calendar import Calendar
from analytics.menu import rank_items
from kinds.base import Counts, Draft, Kind, Stage, summed
from kinds.menu import history, merge, rows
from kinds.menu import plan as planning
from kinds.menu.names import name_items
from kinds.menu.rules import ranking
from settings import Settings
from source import orders, touched
from source.reading import Connection
from source.window import buckets_of, day_buckets, day_start, open_buckets
from store import ledger, progress, publishing
from store.database import driver
from store.models import Part, Run
from store.parts import Claim

_UNPUBLISHED = """
SELECT generation FROM analytics_runs
WHERE status IN ('failed', 'cancelled')
  AND EXISTS (SELECT FROM menu_tallies AS t WHERE t.generation = analytics_runs.generation)
"""


def tally(settings: Settings, claimed: Claim) -> Counts:
    """Count the orders of the chunk, or of the touched business days, block by block, and store the tallies."""
    run, part, url = claimed.run, claimed.part, settings.source_database_url
    assert run.plan is not None
    firsts = day_buckets(run.plan)
    bucket_of = buckets_of(run.plan, np.arange(firsts[0], firsts[-1] + 1), firsts)
    calendar = Calendar.of(run.plan["dayparts"], day_start(run.plan), firsts, bucket_of, open_buckets(run.plan))
    lines = planning.line_rules(run.plan)
    with orders.snapshot(url, run.plan) as crm:
        ledger.save(claimed.session, run, part, crm.execute(touched.newest_days(run.plan, part)).fetchone())
        found = tallies.total([tallies.tally(*block, calendar, lines) for block in orders.blocks(crm, run.plan, part)])
    rows.save_tallies(claimed.session, run, part, found.items, found.transactions)
    left_out = dict(found.left_out)
    if run.mode == "full" and part.upper is None:  # the last range, which has no upper bound
        left_out["lines_without_transaction"] += orders.lines_without_id(url)
    return left_out


def rank(settings: Settings, claimed: Claim) -> Counts:
    """Rank the daypart's items and store the best; their names are added when the run is published."""
    assert claimed.run.plan is not None
    items, transactions = rows.daypart_tallies(claimed.session, claimed.run, claimed.part.part)
    rows.save_totals(claimed.session, claimed.run.generation, claimed.part.part, items, transactions)
    ranked = rank_items(items, transactions, ranking(claimed.run.plan))
    rows.save_ranks(claimed.session, claimed.run, claimed.part.part, ranked)
    return {"transactions": transactions}


class Menu(Kind):
    """Items ranked per daypart."""

    name = "menu"
    stages = (Stage("tally", tally), Stage("rank", rank))
    of_one_run = frozenset({"day_buckets", "business_date", "daily_after"})
    writers = "SELECT r.generation FROM analytics_runs AS r JOIN menu_results USING (run_id)"

    def plan(self, settings: Settings, crm: Connection) -> dict[str, Any]:
        """The lookback, the ranking rules, the source's column types and the dayparts."""
        return planning.plan(settings, crm)

    def parts(self, draft: Draft) -> list[Part]:
        """Chunks of transactions and dayparts."""
        return planning.chunks(draft)

    def refresh(self, draft: Draft) -> list[Part]:
        """The changed business days, as one part."""
        return planning.changed(draft)

    def prepare(self, session: Session, run: Run, parts: Sequence[Part]) -> None:
        """Create the run's ledger."""
        ledger.begin(session, run, [part for part in parts if part.stage == "tally"])

    def publish(self, session: Session, settings: Settings, run: Run) -> None:
        """Store the items' names, and publish the run's generation."""
        run.counts = summed(progress.parts(session, run, "tally")) | summed(progress.parts(session, run, "rank"))
        name_items(session, settings, run.generation)
        history.update(session, run, run.generation)
        publishing.name_current(session, run, run.generation)

    def merge(self, session: Session, settings: Settings, run: Run) -> None:
        """Replace the changed days' tallies in the published generation, and rank their dayparts again."""
        merge.merge(session, settings, run)

    def discard(self, session: Session, generations: Sequence[int]) -> None:
        """Delete the generations' tallies, totals and ranks."""
        rows.discard(session, generations)

    def unneeded(self, session: Session) -> Sequence[Callable[[Session], None]]:
        """Tallies and ranks of runs that were not published."""
        found = [generation for (generation,) in driver(session).execute(_UNPUBLISHED).fetchall()]
        return [partial(rows.discard, generations=found)] if found else []
