"""RFM, from plan to publish.

A full run divides the customers into shards. Each shard's orders are aggregated to one row per customer; the exact cut
points are computed over all customers; each shard is scored with these; then the new generation is published.

    shards ─► aggregate ─► cut points ─► score ─► publish

An incremental run aggregates only the changed customers, as one part, and merges them into the published generation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from analytics.scores import AVERAGE, CENTS, RECENCY, Point, column, edge
from analytics.segments import numbered
from kinds.base import Counts, Draft, Kind, RowsLostError, Stage, summed
from kinds.rfm import (
    cells,
    changes,
    counts,
    flows,
    groups,
    history,
    listing,
    marks,
    merge,
    publish,
    results,
    rows,
    ties,
)
from kinds.rfm import plan as planning
from kinds.rfm.quantiles import Ranges, cents_cut_points, exact_cut_points
from kinds.rfm.rules import measures, own_cut_points, rules
from settings import Settings
from source.reading import Connection
from source.window import today
from store import ledger, progress
from store.models import Part, Run
from store.parts import Claim
from store.published import published

DAYS = 3  # on either side of a cut point of recency, whose customers an index has


def aggregate(settings: Settings, claimed: Claim) -> Counts:
    """Fill the shard's staging table, or that of the changed customers, with one row per customer."""
    run = claimed.run
    done = rows.aggregate(claimed.session, settings.source_database_url, run, claimed.part)
    if run.mode != "incremental":
        _count(claimed.session, run, claimed.part.part)
    return done


def _count(session: Session, run: Run, shard: int) -> None:
    counts.count_shard(session, run.generation, shard, rows.staged(run, [shard]))


def cut_points(session: Session, settings: Settings, run: Run) -> None:
    """Compute the exact cut points over all shards' customers, once, except those that the segment map sets.

    Those of recency and frequency follow from the numbers of customers per value, which the shards have counted.

    A crash of PostgreSQL empties the unlogged staging tables; these shards are then aggregated again, and everything
    derived from them.
    """
    assert run.plan is not None
    shards = progress.parts(session, run, "aggregate")
    counted = {part.part: (part.counts or {})["customers"] for part in shards}
    lost = rows.TABLES.lost_shards(session, run, counted)
    if lost:
        progress.reopen(session, run, {"aggregate": lost, "score": None})
        groups.discard(session, [run.generation])
    elif not run.counts:
        for shard in counted.keys() - counts.shards(session, run.generation):  # an older version has aggregated it
            _count(session, run, shard)
        points, near = _quintiles(session, run, sum(counted.values()), list(counted))
        run.counts = summed(shards) | {"cut_points": points | own_cut_points(run.plan), "near": near}
        # Parts join the marks of their shards; if these do not divide our customers, they are updated at the publish.
        run.plan = run.plan | {"marks": marks.state(session) if run.plan.get("by_shard") else None}
        session.flush()


def _quintiles(
    session: Session, run: Run, count: int, shards: Sequence[int]
) -> tuple[dict[str, list[Point]], dict[str, Ranges]]:
    """The cut points that are quintiles, and the ranges around cut points that may move, by column."""
    assert run.plan is not None
    own, day, customers = own_cut_points(run.plan), today(run.plan), rows.staged(run, shards)
    wanted = [measure for measure in measures(run.plan) if measure not in own]
    known = counts.load(session, run.generation)
    assert known is not None
    points = counts.cut_points(known, wanted, day)
    near: dict[str, Ranges] = {}
    if CENTS in wanted:
        cents, ranges = cents_cut_points(session, customers, count)
        points |= cents
        near |= {CENTS: ranges} if ranges else {}
    if AVERAGE in wanted:
        points |= exact_cut_points(session, customers, count, [AVERAGE], day)[1]
    edges = [edge(RECENCY, point, day) for point in (points | own).get(RECENCY, ())]
    return points, near | ({column(RECENCY): [[each - DAYS, each + DAYS] for each in edges]} if edges else {})


def score(settings: Settings, claimed: Claim) -> Counts:
    """Build the shard's results from its staging table and the run's cut points, and store its changes of segment.

    Raises
    ------
    RowsLostError
        When the staging table does not have the counted number of rows.
    """
    run, part = claimed.run, claimed.part
    assert run.plan is not None and run.counts is not None
    scored_by = rules(run.counts["cut_points"], run.plan["segments"], today(run.plan))
    scored = rows.score(claimed.session, run, part, scored_by)
    expected = progress.part_counts(claimed.session, run, "aggregate", part.part)["customers"]
    if scored != expected:
        raise RowsLostError(f"Shard {part.part} has {scored} of {expected} customers staged.")
    changes.note(claimed.session, run, part)
    totals, grouped = cells.of_part(claimed.session, rows.piece(run, part.part))
    groups.add_counted(claimed.session, run.generation, grouped)  # last, since other parts wait for its rows
    return {"scored": scored} | totals


def recount(session: Session) -> None:
    """Count again what is published, after a customer was removed from it."""
    state = published(session, "rfm")
    if state is not None:
        customers = results.published_customers(state.generation)
        counts.replace(session, state.generation, counts.count(session, counts.once(customers)))
        groups.count(session, state.generation)
        cells.note_published(session, state)


class Rfm(Kind):
    """Customer segments."""

    name = "rfm"
    stages = (Stage("aggregate", aggregate), Stage("score", score, before=cut_points, inline=True))
    of_one_run = planning.OF_ONE_RUN
    holds_customers = True
    writers = "SELECT written_by FROM rfm_results"

    def plan(self, settings: Settings, crm: Connection) -> dict[str, Any]:
        """The lookback, the source's column types and the segment map."""
        return planning.plan(settings, crm)

    def parts(self, draft: Draft) -> list[Part]:
        """Customer shards, and the baseline for the run's changes."""
        draft.plan["by_shard"] = planning.divides_ours(draft)
        draft.plan["baseline"] = planning.baseline(draft)
        return planning.shards(draft)

    def refresh(self, draft: Draft) -> list[Part]:
        """The changed customers, as one part."""
        rows.TABLES.note_unchanged(draft)
        return [Part(run_id=draft.run.run_id, stage="aggregate", part=0)]

    def prepare(self, session: Session, run: Run, parts: Sequence[Part]) -> None:
        """Create the run's ledger, and a full run's generation."""
        assert run.plan is not None
        run.segment_names, _ = numbered(run.plan["segments"])
        ledger.begin(session, run, [part for part in parts if part.stage == "aggregate"])
        if run.mode == "full":
            rows.TABLES.create(session, run, sorted({part.part for part in parts}))

    def publish(self, session: Session, settings: Settings, run: Run) -> None:
        """Publish the run's generation, and record its changes."""
        changes.note(session, run, None)
        publish.publish(session, run)
        self._note_totals(session, run)

    def merge(self, session: Session, settings: Settings, run: Run) -> None:
        """Write changed customers, and those with changed scores, into the published generation."""
        merge.merge(session, run)
        self._note_totals(session, run)

    def _note_totals(self, session: Session, run: Run) -> None:
        """Store the totals of the R-F-M codes, the history and warnings that follow from them, and the moves."""
        state = published(session, self.name)
        assert state is not None
        cells.note(session, state)
        history.save(session, state)
        flows.add(session, run)
        ties.note(session, state)

    def follow(self, session: Session, run: Run) -> None:
        """Update the customers' clusters, and who is overdue."""
        if run.kind in marks.FOLLOWED:
            marks.follow(session, run)

    def discard(self, session: Session, generations: Sequence[int]) -> None:
        """Drop the generations' tables."""
        counts.discard(session, generations)
        groups.discard(session, generations)
        rows.TABLES.discard(session, generations)

    def unneeded(self, session: Session) -> Sequence[Callable[[Session], None]]:
        """Staging tables, unpublished generations, and changes that were never published."""
        return publish.unneeded(session)

    def unindexed(self, session: Session) -> Sequence[Callable[[Session], None]]:
        """Customers near cut points, for incremental runs, and a segment's customers in each order of the list."""
        state = published(session, self.name)
        if state is None:
            return []
        near = rows.near_indexes((state.run.counts or {}).get("near", {}))
        return rows.TABLES.unindexed(session, state.generation, near | listing.INDEXES)

    def drop_old(self, session: Session) -> None:
        """Drop old changes."""
        changes.drop_old(session)

    def forget(self, session: Session, mobile_id: str) -> int:
        """Remove the customer's rows and changes, and the id from shard bounds and ledgers."""
        removed = rows.forget(session, mobile_id)
        recount(session)
        return removed

    def event_data(self, session: Session) -> dict[str, Any]:
        """The newest change's id, up to which a receiver should read."""
        return {"last_change_id": results.last_change_id(session)}
