"""Clusters: what the customers' visits come to, the model that groups them, and each customer's cluster.

shards ─► count ─► fit ─► assign ─► publish    (see kinds/fitted.py)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from analytics.clustering import STABLE
from errors import RequestError
from kinds.base import Counts, RowsLostError, Stage, summed
from kinds.clusters import assigning, fitting, merge, rows
from kinds.clusters import plan as planning
from kinds.clusters.model import Clusters, missing_features
from kinds.clusters.rows import TABLES, VISITS_TO_FIT
from kinds.fitted import FittedKind
from settings import Settings
from source.reading import Connection
from store import progress, versions
from store.database import driver
from store.models import ModelVersion, Published, Run
from store.parts import Claim


def count(settings: Settings, claimed: Claim) -> Counts:
    """Fill the shard's staging table, or that of the changed customers, with one row per customer."""
    return rows.count(claimed.session, settings.source_database_url, claimed.run, claimed.part)


def gather(session: Session, settings: Settings, run: Run) -> None:
    """Sum the shards' counts, once; shards whose staging was emptied by a crash of PostgreSQL are read again."""
    shards = progress.parts(session, run, "count")
    lost = TABLES.lost_shards(session, run, {part.part: (part.counts or {})["staged"] for part in shards})
    if lost:
        progress.reopen(session, run, {"count": lost, "fit": None, "assign": None})
    elif not run.counts:
        counted = summed(shards)
        lacking = counted["regulars"] < fitting.CUSTOMERS
        run.counts = dict(counted) | (_too_little(counted["regulars"]) if lacking else {})
        session.flush()


def _too_little(regulars: int, stability: float | None = None) -> dict[str, Any]:
    needs, has = {"customers_with_three_visits": fitting.CUSTOMERS}, {"customers_with_three_visits": regulars}
    if stability is not None:  # there are enough customers, but no stable clusters
        needs["stability_percent"], has["stability_percent"] = round(100 * STABLE), int(100 * stability)
    return {"too_little_data": {"needs": needs, "has": has}}


def fit(settings: Settings, claimed: Claim) -> Counts:
    """Train in a training run, or if the model's dayparts or categories are gone; check the model in service."""
    session, run = claimed.session, claimed.run
    assert run.plan is not None and run.counts is not None
    if "too_little_data" in run.counts:
        return {"trained": 0}
    shards = [part.part for part in progress.parts(session, run, "count")]
    counts = rows.sample(session, rows.staged(run, shards, VISITS_TO_FIT))
    version, stability = versions.of_plan(session, run), 1.0
    lost = version is not None and bool(missing_features(Clusters.of(version.params).scale, run.plan))
    trains = version is None or lost or run.mode == "train"
    if trains and versions.of_run(session, run) is None:
        version, stability = fitting.train(session, run, counts)
    run.plan = run.plan | {"champion": version and version.version}
    if version is None:
        run.counts = run.counts | _too_little(run.counts["regulars"], stability)
        return {"trained": int(trains)}
    watched = fitting.watch(run, counts, version)
    version.metrics = version.metrics | {"drift": {"as_of": run.plan["as_of"]} | watched}
    return {"trained": int(trains)}


def assign(settings: Settings, claimed: Claim) -> Counts:
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
        return {"assigned": 0}
    version = versions.of_plan(session, run)
    assert version is not None
    done = assigning.assign(session, run, part, Clusters.of(version.params), version.version)
    expected = progress.part_counts(session, run, "count", part.part)["customers"]
    if done != expected:
        raise RowsLostError(f"Shard {part.part} has {done} of {expected} customers staged.")
    return {"assigned": done}


class ClustersKind(FittedKind):
    """Clusters of customers with similar behaviour."""

    name = "clusters"
    tables = TABLES
    stages = (Stage("count", count), Stage("fit", fit, before=gather), Stage("assign", assign, before=gather))
    of_one_run = frozenset({"business_date", "daily_after"})  # a cluster depends on no day
    writers = "SELECT written_by FROM cluster_results"

    def plan(self, settings: Settings, crm: Connection) -> dict[str, Any]:
        """The dayparts, the menu's categories, and the requested number of clusters."""
        return planning.plan(settings, crm)

    def publish(self, session: Session, settings: Settings, run: Run) -> None:
        """Store the clusters' profiles, and publish the run's generation."""
        version = versions.of_plan(session, run)
        if "too_little_data" not in (run.counts or {}) and version is not None:
            assigning.save_profiles(session, run.generation, Clusters.of(version.params))
        super().publish(session, settings, run)

    def merge(self, session: Session, settings: Settings, run: Run) -> None:
        """Write the changed customers' clusters into the current generation."""
        merge.merge(session, run)

    def discard(self, session: Session, generations: Sequence[int]) -> None:
        """Drop the generations' tables and profiles."""
        super().discard(session, generations)
        query = "DELETE FROM cluster_profile_results WHERE generation = ANY(%s)"
        driver(session).execute(query, [list(generations)])

    def check_version(self, session: Session, model: ModelVersion) -> None:
        """Check that the dayparts and categories of its features still exist.

        Raises
        ------
        RequestError
            With the code `model_unusable`, when one is missing.
        """
        published = session.get(Published, self.name)
        last = session.get(Run, published.run_id) if published is not None else None
        plan = last.plan if last is not None else None
        lost = missing_features(Clusters.of(model.params).scale, plan) if plan else []
        if lost:
            named = ", ".join(feature.partition(":")[2] for feature in lost)
            raise RequestError(
                f"Version {model.version} of {self.name} rests on what no longer exists: {named}.",
                code="model_unusable",
            )
