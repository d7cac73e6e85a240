"""Predictions: the customers' histories, the model of repeat buying, and the customers' scores.

shards ─► summarize ─► fit ─► score ─► publish    (see kinds/fitted.py)
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from analytics import training
from kinds.base import Counts, RowsLostError, Stage, summed
from kinds.fitted import FittedKind
from kinds.predictions import fitting, merge, rows, scoring
from kinds.predictions import plan as planning
from kinds.predictions.model import Predictor
from kinds.predictions.rows import TABLES
from settings import Settings
from source.reading import Connection
from store import progress, versions
from store.models import Run
from store.parts import Claim


def summarize(settings: Settings, claimed: Claim) -> Counts:
    """Fill the shard's staging table, or that of the changed customers, with one row per customer."""
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
    """Train in a training run, once; in every run, store the check of the model that computes its results."""
    session, run = claimed.session, claimed.run
    assert run.plan is not None and run.counts is not None
    if "too_little_data" in run.counts:
        return {"trained": 0}
    shards = [part.part for part in progress.parts(session, run, "summarize")]
    customers = rows.staged(run, shards)
    version = versions.of_plan(session, run)
    if version is None or (run.mode == "train" and versions.of_run(session, run) is None):
        version = fitting.train(session, run, customers)
        run.plan = run.plan | {"champion": version.version}
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
        TABLES.complete(session, run, part.part)
        return {"scored": 0}
    version = versions.of_plan(session, run)
    assert version is not None
    done = scoring.score(session, run, part, Predictor.of(version.params), version.version)
    expected = progress.part_counts(session, run, "summarize", part.part)["customers"]
    if done != expected:
        raise RowsLostError(f"Shard {part.part} has {done} of {expected} customers staged.")
    return {"scored": done}


class Predictions(FittedKind):
    """Whether, when and for how much customers order again."""

    name = "predictions"
    tables = TABLES
    stages = (Stage("summarize", summarize), Stage("fit", fit, before=gather), Stage("score", score, before=gather))
    writers = "SELECT written_by FROM prediction_results"

    def plan(self, settings: Settings, crm: Connection) -> dict[str, Any]:
        """The source's column types."""
        return planning.plan(settings, crm)

    def merge(self, session: Session, settings: Settings, run: Run) -> None:
        """Write the changed customers' predictions into the current generation."""
        merge.merge(session, run)
