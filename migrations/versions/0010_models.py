"""Runs that wait for others, versions of models, and the kinds that are computed by default."""

from alembic import op

revision = "0010"
down_revision = "0009"

CREATE = """
ALTER TABLE analytics_runs ADD waits_for UUID[] DEFAULT '{}' NOT NULL;
DROP INDEX uq_analytics_runs_waiting;
CREATE UNIQUE INDEX uq_analytics_runs_waiting ON analytics_runs (kind)
    WHERE status = 'pending' AND NOT as_of_given AND waits_for = '{}';
CREATE TABLE analytics_default_kinds (kind TEXT NOT NULL, CONSTRAINT pk_analytics_default_kinds PRIMARY KEY (kind));
INSERT INTO analytics_default_kinds SELECT unnest(ARRAY['rfm', 'menu']) WHERE EXISTS (SELECT FROM analytics_runs);
ALTER TABLE analytics_nights ADD trained_for TIMESTAMP WITH TIME ZONE;
CREATE TABLE analytics_models (
    model_id UUID NOT NULL,
    kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    status TEXT NOT NULL
        CONSTRAINT ck_analytics_models_status CHECK (status IN ('challenger', 'champion', 'retired', 'rejected')),
    family TEXT NOT NULL,
    params JSONB NOT NULL,
    trained_from TIMESTAMP WITH TIME ZONE,
    trained_to TIMESTAMP WITH TIME ZONE NOT NULL,
    seed BIGINT NOT NULL,
    data_fingerprint TEXT NOT NULL,
    code_version TEXT NOT NULL,
    metrics JSONB NOT NULL,
    decision TEXT NOT NULL,
    run_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    promoted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_analytics_models PRIMARY KEY (model_id),
    CONSTRAINT uq_analytics_models_kind_version UNIQUE (kind, version)
);
CREATE UNIQUE INDEX uq_analytics_models_champion ON analytics_models (kind) WHERE status = 'champion';
"""


def upgrade() -> None:
    """A database with runs keeps computing the kinds that existed before, until KINDS is set."""
    for statement in CREATE.split(";\n"):
        if statement.strip():
            op.execute(statement)
