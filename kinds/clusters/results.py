"""Reading published clusters: their profiles, their customers, and renaming one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from errors import RequestError
from kinds.clusters.models import ClusterName
from store.published import PublishedState, published
from store.queries import Query, exported

CLUSTER_COLUMNS = ("mobile_id", "cluster_id", "distance", "model_version", "run_id", "computed_at")
PROFILE_COLUMNS = ("cluster_id", "name", "description", "customers", "share", "features", "stability")
LONGEST_NAME = 100


def too_little_data(state: PublishedState) -> dict[str, Any] | None:
    """The needed and the available data, if there is too little; None if there are clusters."""
    found: dict[str, Any] | None = (state.run.counts or {}).get("too_little_data")
    return found


def profiles(session: Session) -> Sequence[Row[Any]]:
    """The published clusters, by id."""
    query = f"SELECT {', '.join(PROFILE_COLUMNS)} FROM cluster_profiles ORDER BY cluster_id"  # noqa: S608  # our own names
    return session.execute(text(query)).all()


def unclustered(session: Session) -> int:
    """The number of customers without a cluster, who came once."""
    return int(session.scalar(text("SELECT count(*) FROM customer_clusters WHERE cluster_id IS NULL")) or 0)


def customers(
    session: Session, cluster_id: int | None = None, *, after: str | None = None, limit: int | None = None
) -> Sequence[Row[Any]]:
    """Published customers in order of their ids, of one cluster or all, from the one that follows `after`."""
    wanted = [
        *(["cluster_id = :cluster_id"] if cluster_id is not None else []),
        *(["mobile_id > :after"] if after is not None else []),
    ]
    query = (
        f"SELECT {', '.join(CLUSTER_COLUMNS)} FROM customer_clusters"  # noqa: S608  # our own names
        f" {'WHERE' if wanted else ''} {' AND '.join(wanted)} ORDER BY mobile_id LIMIT :limit"
    )
    return session.execute(text(query), {"cluster_id": cluster_id, "after": after, "limit": limit}).all()


def cluster_of(session: Session, mobile_id: str) -> Row[Any] | None:
    """The profile of a customer's cluster; None for one without a cluster."""
    query = (
        "SELECT cluster_id, name, description FROM customer_clusters JOIN cluster_profiles USING (cluster_id)"
        " WHERE mobile_id = :id"
    )
    return session.execute(text(query), {"id": mobile_id}).first()


def export(cluster_id: int | None) -> Query:
    """All published customers of a cluster, or all, in order of their ids."""
    return exported("customer_clusters", CLUSTER_COLUMNS, "mobile_id", {"cluster_id = {}": cluster_id})


def exported_profiles() -> Query:
    """The published clusters, by id; `features` as JSON."""
    return exported("cluster_profiles", PROFILE_COLUMNS, "cluster_id")


def names_tag(session: Session) -> str:
    """The part of the ETag that changes when a cluster is renamed."""
    query = (
        "SELECT md5(coalesce(string_agg(cluster_id || ' ' || name, ',' ORDER BY cluster_id), '')) FROM cluster_names"
    )
    return str(session.scalar(text(query)))


def rename(session: Session, cluster_id: int, name: str) -> Row[Any]:
    """Give a published cluster another name, which it keeps as long as its id; returns its profile.

    Raises
    ------
    RequestError
        When there is no such cluster, or the name is not valid.
    """
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise RequestError(f"A cluster's name has 1 to {LONGEST_NAME} printable characters.", code="invalid_name")
    if published(session, "clusters") is None or cluster_id not in {row.cluster_id for row in profiles(session)}:
        raise RequestError(f"There is no cluster {cluster_id}.", code="cluster_not_found")
    session.merge(ClusterName(cluster_id=cluster_id, name=name))
    session.flush()
    return next(row for row in profiles(session) if row.cluster_id == cluster_id)
