"""An incremental run: the touched customers are assigned again in the published generation, in place.

With the same model a customer's cluster depends on the customer's own visits alone, so nobody else moves. All of it
happens in the transaction that publishes, and only rows whose values differ are written.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from kinds.clusters.assigning import COLUMNS, assigned, save_profiles
from kinds.clusters.model import Clusters
from kinds.clusters.rows import TABLES
from postgres import tune
from store import progress, publishing, versions
from store.database import driver
from store.models import Run

_SAME = "(r.cluster_id, r.distance) IS NOT DISTINCT FROM (s.cluster_id, s.distance)"


def merge(session: Session, run: Run) -> None:
    """Assign the staged customers, write what differs into the published generation, and count the clusters anew."""
    assert run.plan is not None
    tune(driver(session))
    generation, version = run.plan["since"]["generation"], versions.of_plan(session, run)
    assert version is not None
    clusters = Clusters.of(version.params)
    query = assigned(session, run, 0, clusters, version.version, generation)
    written = TABLES.merge(session, run, COLUMNS, query, _SAME)
    save_profiles(session, generation, clusters)
    run.counts = progress.part_counts(session, run, "count", 0) | written
    publishing.name_current(session, run, generation)
