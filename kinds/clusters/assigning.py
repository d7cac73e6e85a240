"""Assigning customers to clusters, a shard at a time, and the clusters' profiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy.orm import Session

from analytics.behaviour import THOUSANDTHS
from kinds.bulk import copy_columns
from kinds.clusters import rows
from kinds.clusters.model import Clusters
from kinds.clusters.rows import TABLES, VISITS_TO_ASSIGN
from postgres import tune
from store.database import driver
from store.models import Part, Run

COLUMNS = "generation, shard, mobile_id, cluster_id, distance, model_version, written_by"


def assign(session: Session, run: Run, part: Part, clusters: Clusters, version: int) -> int:
    """Build the shard's piece of the results: rows first, then their key. Returns the number of customers."""
    connection = driver(session)
    tune(connection)
    table = TABLES.piece(run, part.part)
    connection.execute(sql.SQL("DELETE FROM {}").format(table))  # of an earlier attempt that a crash has interrupted
    query = assigned(session, run, part.part, clusters, version, run.generation)
    inserted = connection.execute(sql.SQL("INSERT INTO {} ({}) {}").format(table, sql.SQL(COLUMNS), query)).rowcount
    TABLES.complete(session, run, part.part)
    return inserted


def assigned(session: Session, run: Run, shard: int, clusters: Clusters, version: int, generation: int) -> sql.Composed:
    """The rows of the staged customers for a generation, as a query with `COLUMNS`; their clusters are found first.

    A customer with a single visit is in no cluster.
    """
    assert run.plan is not None
    connection, staging = driver(session), TABLES.staging(run, shard)
    enough = sql.SQL("SELECT * FROM {} WHERE visits >= {}").format(staging, sql.Literal(VISITS_TO_ASSIGN))
    points = clusters.points(rows.counts(session, enough, 'mobile_id COLLATE "C"'), run.plan)
    ids, distances = clusters.assigned(points)
    connection.execute("DROP TABLE IF EXISTS cluster_assigned")
    connection.execute(
        "CREATE TEMP TABLE cluster_assigned (place bigint, cluster_id int, distance float8) ON COMMIT DROP"
    )
    places = np.arange(1, len(ids) + 1, dtype=np.int64)
    columns: dict[str, NDArray[Any]] = {"place": places, "cluster_id": ids.astype(np.int32), "distance": distances}
    copy_columns(session, sql.Identifier("cluster_assigned"), columns)
    return sql.SQL(
        "SELECT {generation}, {shard}, s.mobile_id, a.cluster_id, a.distance, {version}, {written_by}"
        " FROM {staging} AS s LEFT JOIN (cluster_counts JOIN cluster_assigned USING (place)) AS a"
        " USING (mobile_id) WHERE s.visits > 0"
    ).format(
        generation=sql.Literal(generation),
        shard=sql.Literal(shard),
        version=sql.Literal(version),
        written_by=sql.Literal(run.generation),
        staging=staging,
    )


def save_profiles(session: Session, generation: int, clusters: Clusters) -> None:
    """Store name, number of customers and centre of each cluster of a generation."""
    query = "SELECT cluster_id, count(*) FROM cluster_results WHERE generation = %s GROUP BY 1"
    members: dict[int | None, int] = dict(driver(session).execute(query, [generation]).fetchall())
    members.pop(None, None)  # customers who came once
    everybody = sum(members.values())
    for number, centre in zip(clusters.ids, clusters.centres, strict=True):
        name, description = clusters.texts[str(number)]
        features: dict[str, Any] = {
            feature: int(value) / THOUSANDTHS for feature, value in zip(clusters.scale.names, centre, strict=True)
        }
        customers = members.get(number, 0)
        driver(session).execute(
            "INSERT INTO cluster_profile_results (generation, cluster_id, name, description, customers, share,"
            " features, stability) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (generation, cluster_id) DO UPDATE"
            " SET customers = excluded.customers, share = excluded.share",
            [
                generation,
                number,
                name,
                description,
                customers,
                round(customers / everybody, 9) if everybody else 0.0,
                Jsonb(features),
                clusters.stability,
            ],
        )
