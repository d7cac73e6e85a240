"""Recommendations, from plan to publish.

A full run reads the transactions in ranges and divides them by customer. A backtest evaluates lists on past visits;
each shard's customers get their profiles, which are summed to tallies; the model is made from these. Lists are made
when they are read.

    ranges ─► read ─► item codes ─► (tune) ─► backtest, per fold ─► profile, per shard ─► reduce ─► publish

An incremental run makes the changed customers' profiles again, as one part, and replaces their contributions to the
published tallies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from analytics.recommendations.profiles import profiles
from analytics.recommendations.tallies import tally, total
from kinds.base import Counts, Draft, Kind, Stage, summed
from kinds.recommendations import (
    backtest,
    building,
    merge,
    profile_rows,
    rows,
    segments,
    staging,
    state,
    training,
    visits,
)
from kinds.recommendations import plan as planning
from kinds.recommendations.models import MethodQuality, StoredModel
from settings import Settings
from source import orders, reading
from source import visits as sold
from source.reading import Connection
from store import ledger, progress, publishing
from store.database import driver
from store.models import ModelVersion, Part, Run
from store.parts import Claim

_UNPUBLISHED = """
SELECT generation FROM analytics_runs
WHERE status IN ('failed', 'cancelled')
  AND (EXISTS (SELECT FROM recommendation_models AS m WHERE m.generation = analytics_runs.generation)
    OR EXISTS (SELECT FROM recommendation_orders AS o WHERE o.generation = analytics_runs.generation)
    OR to_regclass('recommendation_profiles_g' || generation) IS NOT NULL)
"""


def read(settings: Settings, claimed: Claim) -> Counts:
    """Divide a range's visits by customer, and count its orders by daypart; or read the touched ones."""
    if claimed.run.mode == "incremental":
        return merge.read(settings, claimed)
    session, run, part = claimed.session, claimed.run, claimed.part
    assert run.plan is not None
    times, counted, blocks = visits.calendar(run.plan), [], 0
    counts = {"transactions": 0, "skipped_transactions": 0, "skipped_lines": 0}
    staging.clear_visits(session, run, part)
    with orders.snapshot(settings.source_database_url, run.plan) as crm:
        state.note_newest(session, crm, run, part)
        for number, block in enumerate(sold.of_range(crm, run.plan, part)):
            found, shards = visits.divide(block, times, run.plan["shards"])
            counted.append(found)
            staging.save_visits(session, run, part, number, shards)
            blocks += len(shards)
            counts["transactions"] += len(block.ids)
            counts["skipped_transactions"] += block.skipped_transactions
            counts["skipped_lines"] += block.skipped_lines
    rows.save_orders(session, run, part, visits.total(counted))
    return counts | {"stored_blocks": blocks}


def before_backtest(session: Session, settings: Settings, run: Run) -> None:
    """Assign the items' codes, once."""
    if not state.read_again_if_lost(session, run) and session.get(StoredModel, run.generation) is None:
        state.code_items(session, run)


def judge(settings: Settings, claimed: Claim) -> Counts:
    """Evaluate the part's folds with the champion's parameters and, in a training run, the challenger's."""
    session, run = claimed.session, claimed.run
    assert run.plan is not None
    items = state.item_ids(session, run.generation)
    folds = run.plan["folds"][claimed.part.part]
    return backtest.judge(session, run, folds, items, training.contenders(session, run))


def before_profiles(session: Session, settings: Settings, run: Run) -> None:
    """Decide on the parameters in a training run, and copy the customers' segments; once."""
    if state.read_again_if_lost(session, run) or run.counts:
        return
    if run.mode == "train":
        training.decide(session, run)
    state.copy_segments(session, run)


def profile(settings: Settings, claimed: Claim) -> Counts:
    """Make the profiles of a shard's customers, and their tallies."""
    session, run, shard = claimed.session, claimed.run, claimed.part.part
    assert run.plan is not None and run.counts is not None
    codes = state.item_ids(session, run.generation)
    names, histories = visits.decode(staging.load_visits(session, run, shard), codes)
    found = profiles(histories, state.parameters(run))
    numbers = segments.of_shard(session, run, shard, names)
    profile_rows.save_profiles(session, run.generation, names, numbers, found)
    tallies = tally(
        found,
        numbers,
        parameters=state.parameters(run),
        items=len(codes),
        dayparts=state.dayparts(run.plan),
        most_segments=len(run.counts["segment_names"]) + 1,
    )
    rows.save_tallies(session, run.generation, shard, tallies)
    return {"customers": len(names), "profile_items": len(found.items)}


def reduce(settings: Settings, claimed: Claim) -> Counts:
    """Add up the shards' tallies, and make the model and the segment picks."""
    session, run = claimed.session, claimed.run
    assert run.plan is not None and run.counts is not None
    tallies = total(rows.load_tallies(session, run.generation, shard) for shard in range(run.plan["shards"]))
    rows.discard_tallies(session, run.generation)
    rows.save_tallies(session, run.generation, rows.ALL, tallies)
    codes = state.item_ids(session, run.generation)
    with reading.connect(settings.source_database_url) as crm:
        names = state.names(crm, codes)
    picked = building.build(session, run.generation, run, tallies, names, run.counts["segment_names"])
    profile_rows.index_generation(session, run.generation)
    return {"items": len(codes), "segment_rows": picked}


class Recommendations(Kind):
    """Items that each customer will probably order next."""

    name = "recommendations"
    stages = (
        Stage("read", read),
        Stage("tune", training.tune, before=before_backtest),
        Stage("backtest", judge, before=before_backtest),
        Stage("profile", profile, before=before_profiles),
        Stage("reduce", reduce),
    )
    of_one_run = planning.OF_ONE_RUN
    holds_customers = True
    writers = (
        "SELECT generation FROM analytics_published WHERE kind = 'recommendations'"
        " UNION SELECT r.generation FROM analytics_runs AS r JOIN recommendation_segments USING (run_id)"
    )

    def plan(self, settings: Settings, crm: Connection) -> dict[str, Any]:
        """The lookback, the source's column types, the dayparts and the model's parameters."""
        return planning.plan(settings, crm)

    def parts(self, draft: Draft) -> list[Part]:
        """Ranges of transactions, folds of the backtest, and shards of customers."""
        return planning.parts(draft)

    def refresh(self, draft: Draft) -> list[Part] | None:
        """The changed customers and business days, as one part; None if rows outside the ledger have changed."""
        return planning.changed(draft)

    def prepare(self, session: Session, run: Run, parts: Sequence[Part]) -> None:
        """Make the run's tables and ledger, and a full run's generation, not yet visible to readers."""
        ledger.begin(session, run, [part for part in parts if part.stage == "read"])
        staging.create(session, run)
        if run.mode != "incremental":
            profile_rows.create_generation(session, run.generation)

    def publish(self, session: Session, settings: Settings, run: Run) -> None:
        """Store the backtest's result and the decision, and publish the run's generation."""
        assert run.counts is not None
        counted: dict[str, Any] = {name: run.counts[name] for name in ("segment_names", "segments_read", "chosen")}
        for stage in self.stages:
            counted |= summed(progress.parts(session, run, stage.name))
        run.counts = counted
        found = backtest.quality(session, run, counted["chosen"], counted["backtest_learners"], counted["items"])
        session.add_all(MethodQuality(run_id=run.run_id, **vars(each)) for each in found)
        session.get_one(StoredModel, run.generation).gate = {each.method: each.published for each in found}
        session.flush()
        publishing.name_current(session, run, run.generation)

    def merge(self, session: Session, settings: Settings, run: Run) -> None:
        """Write the changes into the published generation."""
        merge.merge(session, settings, run)

    def discard(self, session: Session, generations: Sequence[int]) -> None:
        """Remove the generations' profiles, tallies and models."""
        rows.discard(session, generations)

    def unneeded(self, session: Session) -> Sequence[Callable[[Session], None]]:
        """Steps that drop the tables of ended runs, and the rows of unpublished runs."""
        steps: list[Callable[[Session], None]] = [
            partial(staging.drop, table=table) for table in staging.left_over(session)
        ]
        found = [generation for (generation,) in driver(session).execute(_UNPUBLISHED).fetchall()]
        return [*steps, partial(rows.discard, generations=found)] if found else steps

    def forget(self, session: Session, mobile_id: str) -> int:
        """Remove the customer's profiles, and what they added to the published model."""
        return merge.forget(session, self.name, mobile_id)

    def check_version(self, session: Session, model: ModelVersion) -> None:
        """Refuse parameters of another method."""
        training.check(model)
