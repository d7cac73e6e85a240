"""The tables of recommendations: profiles by generation, tallies, models, segments' picks, and backtest results."""

from alembic import op

revision = "0013"
down_revision = "0012"

CREATE = """
CREATE TABLE recommendation_profiles (
    generation BIGINT NOT NULL,
    known BIGINT NOT NULL,
    visits INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    segment SMALLINT NOT NULL,
    wide BOOLEAN NOT NULL,
    mobile_id TEXT NOT NULL,
    items BYTEA NOT NULL,
    cells BYTEA NOT NULL
) PARTITION BY LIST (generation);
ALTER TABLE recommendation_profiles ALTER items SET STORAGE EXTERNAL, ALTER cells SET STORAGE EXTERNAL;
CREATE TABLE recommendation_orders (
    generation BIGINT NOT NULL,
    daypart INTEGER NOT NULL,
    day_bucket DATE NOT NULL,
    part INTEGER NOT NULL,
    transactions BIGINT NOT NULL,
    items BIGINT[] NOT NULL,
    orders BIGINT[] NOT NULL,
    CONSTRAINT pk_recommendation_orders PRIMARY KEY (generation, daypart, day_bucket, part)
);
CREATE TABLE recommendation_tallies (
    generation BIGINT NOT NULL,
    part INTEGER NOT NULL,
    slice INTEGER NOT NULL,
    data BYTEA NOT NULL,
    CONSTRAINT pk_recommendation_tallies PRIMARY KEY (generation, part, slice)
);
CREATE TABLE recommendation_outcomes (
    generation BIGINT NOT NULL,
    fold INTEGER NOT NULL,
    data BYTEA NOT NULL,
    CONSTRAINT pk_recommendation_outcomes PRIMARY KEY (generation, fold)
);
CREATE TABLE recommendation_models (
    generation BIGINT NOT NULL,
    item_ids BIGINT[] NOT NULL,
    parameters JSONB,
    gate JSONB,
    data BYTEA,
    CONSTRAINT pk_recommendation_models PRIMARY KEY (generation)
);
CREATE TABLE recommendation_segments (
    generation BIGINT NOT NULL,
    segment TEXT NOT NULL,
    daytime_id INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    menu_item_id BIGINT NOT NULL,
    orders BIGINT NOT NULL,
    share DOUBLE PRECISION NOT NULL,
    lift DOUBLE PRECISION NOT NULL,
    run_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_recommendation_segments PRIMARY KEY (generation, segment, daytime_id, rank)
);
CREATE TABLE recommendation_quality (
    run_id UUID NOT NULL,
    method TEXT NOT NULL,
    customers INTEGER NOT NULL,
    recall DOUBLE PRECISION NOT NULL,
    ndcg DOUBLE PRECISION NOT NULL,
    hit_rate DOUBLE PRECISION NOT NULL,
    repeat_share DOUBLE PRECISION NOT NULL,
    coverage DOUBLE PRECISION NOT NULL,
    z DOUBLE PRECISION NOT NULL,
    published BOOLEAN NOT NULL,
    recall_error DOUBLE PRECISION NOT NULL,
    CONSTRAINT pk_recommendation_quality PRIMARY KEY (run_id, method)
);
CREATE VIEW segment_recommendation AS
SELECT segment, daytime_id, menu_item_id, rank, orders, share, lift, run_id, created_at
FROM recommendation_segments
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'recommendations');
"""


def upgrade() -> None:
    """Create the tables."""
    for statement in CREATE.split(";\n"):
        if statement.strip():
            op.execute(statement)
