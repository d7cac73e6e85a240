"""Predictions, from plan to publish.

A full run divides the customers into shards. Each shard's orders are summarized to one row per customer; a training run
fits a challenger to all of them and compares it with the model in service; each shard is scored with the better one;
then the new generation is published.

    shards ─► summarize ─► fit ─► score ─► publish

An incremental run summarizes and scores only the changed customers, as one part, with the model in service.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from analytics import training
from kinds.base import Counts, Draft, Kind, RowsLostError, Stage, summed
from kinds.predictions import fitting, merge, rows, scoring
from kinds.predictions import plan as planning
from kinds.predictions.model import Predictor
from kinds.predictions.rows import TABLES
from settings import Settings
from source.reading import Connection
from store import ledger, progress, publishing, runs, versions
from store.models import Part, Run
from store.parts import Claim


def summarize(settings: Settings, claimed: Claim) -> Counts:
    """Fill the shard's staging table, or that of the changed customers, with one row per customer."""
    if claimed.run.mode == "incremental":
        return rows.summarize_touched(claimed.session, settings.source_database_url, claimed.run, claimed.part)
    return rows.summarize(claimed.session, settings.source_database_url, claimed.run, claimed.part)


def gather(session: Session, settings: Settings, run: Run) -> None:
    """Sum the shards' counts, once; shards whose staging was emptied by a crash of PostgreSQL are read again."""
    shards = progress.parts(session, run, "summarize")
    lost = TABLES.lost_shards(session, run, {part.part: (part.counts or {})["staged"] for part in shards})
    if lost:
        progress.reopen(session, run, {"summarize": lost, "fit": None, "score": None})
    elif not run.counts:
        days = max((part.counts or {})["days"] for part in shards)
        run.counts = summed(shards) | {"days": days} | _sufficiency(summed(shards), days)
        session.flush()


def _sufficiency(counted: Counts, days: int) -> dict[str, Any]:
    has = {"customers": counted["customers"], "repeaters": counted["repeaters"], "days": days}
    if training.enough(**has):
        return {}
    needs = {"customers": training.CUSTOMERS, "repeaters": training.REPEATERS, "days": training.DAYS}
    return {"too_little_data": {"needs": needs, "has": has}}


def fit(settings: Settings, claimed: Claim) -> Counts:
    """Train in a training run; in every run, store the check of the model in service."""
    session, run = claimed.session, claimed.run
    assert run.plan is not None and run.counts is not None
    if "too_little_data" in run.counts:
        return {"trained": 0}
    shards = [part.part for part in progress.parts(session, run, "summarize")]
    customers = rows.staged(run, shards)
    if run.mode == "train":
        version = fitting.train(session, run, customers)
        run.plan = run.plan | {"champion": version.version}
    else:
        version = versions.numbered(session, run.kind, run.plan["champion"])
    watched = fitting.watch(session, customers, version)
    version.metrics = version.metrics | {"drift": {"as_of": run.plan["as_of"]} | watched}
    return {"trained": int(run.mode == "train")}


def score(settings: Settings, claimed: Claim) -> Counts:
    """Build the shard's results from its staging table and the model.

    Raises
    ------
    RowsLostError
        When the staging table does not have the counted number of rows.
    """
    session, run, part = claimed.session, claimed.run, claimed.part
    assert run.plan is not None and run.counts is not None
    if "too_little_data" in run.counts:
        TABLES.add_key(session, run, part.part)
        return {"scored": 0}
    version = versions.numbered(session, run.kind, run.plan["champion"])
    done = scoring.score(session, run, part, Predictor.of(version.params), version.version)
    expected = progress.part_counts(session, run, "summarize", part.part)["customers"]
    if done != expected:
        raise RowsLostError(f"Shard {part.part} has {done} of {expected} customers staged.")
    return {"scored": done}


class Predictions(Kind):
    """Whether, when and for how much customers order again."""

    name = "predictions"
    stages = (Stage("summarize", summarize), Stage("fit", fit, before=gather), Stage("score", score, before=gather))
    holds_customers = True
    writers = "SELECT written_by FROM prediction_results"

    def plan(self, settings: Settings, crm: Connection) -> dict[str, Any]:
        """The source's column types."""
        return planning.plan(settings, crm)

    def parts(self, draft: Draft) -> list[Part]:
        """Customer shards, and one part that fits."""
        return planning.shards(draft)

    def refresh(self, draft: Draft) -> list[Part] | None:
        """The changed customers, as one part; a full run where too few were published."""
        last = runs.published_run(draft.session, self.name)
        if "too_little_data" in (last.counts or {}):
            return None
        return [Part(run_id=draft.run.run_id, stage="summarize", part=0)]

    def prepare(self, session: Session, run: Run, parts: Sequence[Part]) -> None:
        """Create the run's ledger, and a full run's generation."""
        ledger.begin(session, run, [part for part in parts if part.stage == "summarize"])
        if run.mode != "incremental":
            TABLES.create(session, run, sorted({part.part for part in parts if part.stage == "score"}))

    def publish(self, session: Session, settings: Settings, run: Run) -> None:
        """Publish the run's generation."""
        run.counts = (run.counts or {}) | summed(progress.parts(session, run, "score"))
        TABLES.settle(session, run)
        publishing.name_current(session, run, run.generation)

    def merge(self, session: Session, settings: Settings, run: Run) -> None:
        """Write the changed customers' predictions into the current generation."""
        merge.merge(session, run)

    def discard(self, session: Session, generations: Sequence[int]) -> None:
        """Drop the generations' tables."""
        TABLES.discard(session, generations)

    def unneeded(self, session: Session) -> Sequence[Callable[[Session], None]]:
        """Staging tables and unpublished generations."""
        return TABLES.unneeded(session)

    def forget(self, session: Session, mobile_id: str) -> int:
        """Remove the customer's row, and the id from shard bounds and ledgers."""
        return TABLES.forget(session, self.name, mobile_id)
