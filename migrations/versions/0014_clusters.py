"""The tables of clusters."""

from alembic import op

revision = "0014"
down_revision = "0013"

CREATE = """
CREATE TABLE cluster_results (
    generation BIGINT NOT NULL,
    shard SMALLINT NOT NULL,
    mobile_id TEXT NOT NULL,
    cluster_id INTEGER,
    distance DOUBLE PRECISION,
    model_version INTEGER NOT NULL,
    written_by INTEGER NOT NULL
) PARTITION BY LIST (generation);
CREATE TABLE cluster_profile_results (
    generation BIGINT NOT NULL,
    cluster_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    customers BIGINT NOT NULL,
    share DOUBLE PRECISION NOT NULL,
    features JSONB NOT NULL,
    stability DOUBLE PRECISION NOT NULL,
    CONSTRAINT pk_cluster_profile_results PRIMARY KEY (generation, cluster_id)
);
CREATE TABLE cluster_names (
    cluster_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    CONSTRAINT pk_cluster_names PRIMARY KEY (cluster_id)
);
CREATE VIEW customer_clusters AS
SELECT r.mobile_id, r.cluster_id, r.distance, r.model_version, w.run_id, w.started_at AS computed_at
FROM cluster_results AS r LEFT JOIN analytics_runs AS w ON w.generation = r.written_by
WHERE r.generation = (SELECT generation FROM analytics_published WHERE kind = 'clusters');
CREATE VIEW cluster_profiles AS
SELECT p.cluster_id, coalesce(n.name, p.name) AS name, p.description, p.customers, p.share, p.features, p.stability
FROM cluster_profile_results AS p LEFT JOIN cluster_names AS n USING (cluster_id)
WHERE p.generation = (SELECT generation FROM analytics_published WHERE kind = 'clusters');
"""


def upgrade() -> None:
    """Create the results' tables, that of given names, and the views."""
    for statement in CREATE.split(";\n"):
        if statement.strip():
            op.execute(statement)
