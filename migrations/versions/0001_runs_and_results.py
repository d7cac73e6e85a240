"""Runs, parts, deliveries, results and the views that readers use."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE analytics_deliveries (
    delivery_id TEXT NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    body JSONB NOT NULL,
    run_ids UUID[] NOT NULL,
    CONSTRAINT pk_analytics_deliveries PRIMARY KEY (delivery_id)
);
CREATE TABLE analytics_published (
    kind TEXT NOT NULL,
    generation BIGINT NOT NULL,
    run_id UUID NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    baseline BIGINT,
    baseline_run_id UUID,
    changes_dropped_to BIGINT NOT NULL,
    CONSTRAINT pk_analytics_published PRIMARY KEY (kind)
);
CREATE TABLE analytics_retired (
    generation BIGINT NOT NULL,
    kind TEXT NOT NULL,
    retired_by BIGINT NOT NULL,
    CONSTRAINT pk_analytics_retired PRIMARY KEY (generation)
);
CREATE TABLE analytics_runs (
    run_id UUID NOT NULL,
    kind TEXT NOT NULL,
    mode TEXT NOT NULL,
    status TEXT NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    as_of TIMESTAMP WITH TIME ZONE,
    as_of_given BOOLEAN NOT NULL,
    error_code TEXT,
    error TEXT,
    generation BIGINT GENERATED ALWAYS AS IDENTITY,
    plan JSONB,
    counts JSONB,
    named_ids JSONB NOT NULL,
    CONSTRAINT pk_analytics_runs PRIMARY KEY (run_id),
    CONSTRAINT uq_analytics_runs_generation UNIQUE (generation)
);
CREATE INDEX ix_analytics_runs_requested_at ON analytics_runs (requested_at);
CREATE UNIQUE INDEX uq_analytics_runs_waiting ON analytics_runs (kind) WHERE status = 'pending' AND NOT as_of_given;
CREATE UNIQUE INDEX uq_analytics_runs_working ON analytics_runs (kind) WHERE status = 'running';
CREATE TABLE analytics_totals (
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    CONSTRAINT pk_analytics_totals PRIMARY KEY (name, labels)
);
CREATE TABLE menu_totals (
    generation BIGINT NOT NULL,
    daytime_id INTEGER NOT NULL,
    transactions BIGINT NOT NULL,
    items BIGINT[] NOT NULL,
    orders BIGINT[] NOT NULL,
    quantities BIGINT[] NOT NULL,
    cents BIGINT[] NOT NULL,
    CONSTRAINT pk_menu_totals PRIMARY KEY (generation, daytime_id)
);
CREATE TABLE menu_results (
    generation BIGINT NOT NULL,
    daytime_id INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    menu_item_id BIGINT NOT NULL,
    menu_item_name TEXT,
    category TEXT,
    orders BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    share DOUBLE PRECISION NOT NULL,
    run_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_menu_results PRIMARY KEY (generation, daytime_id, rank)
);
CREATE TABLE menu_tallies (
    generation BIGINT NOT NULL,
    daytime_id INTEGER NOT NULL,
    stretch DATE NOT NULL,
    chunk INTEGER NOT NULL,
    transactions BIGINT NOT NULL,
    items BIGINT[] NOT NULL,
    orders BIGINT[] NOT NULL,
    quantities BIGINT[] NOT NULL,
    cents BIGINT[] NOT NULL,
    CONSTRAINT pk_menu_tallies PRIMARY KEY (generation, daytime_id, stretch, chunk)
) WITH (toast_tuple_target = 8160);
CREATE TABLE analytics_parts (
    run_id UUID NOT NULL,
    stage TEXT NOT NULL,
    part INTEGER NOT NULL,
    lower TEXT,
    upper TEXT,
    sent_at TIMESTAMP WITH TIME ZONE,
    sends INTEGER NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE,
    counts JSONB,
    error_code TEXT,
    error TEXT,
    CONSTRAINT pk_analytics_parts PRIMARY KEY (run_id, stage, part),
    CONSTRAINT fk_analytics_parts_run_id FOREIGN KEY(run_id) REFERENCES analytics_runs (run_id) ON DELETE CASCADE
);
CREATE TABLE analytics_events (
    event_id UUID NOT NULL,
    run_id UUID NOT NULL,
    url TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_answer TEXT,
    CONSTRAINT pk_analytics_events PRIMARY KEY (event_id)
);
CREATE INDEX ix_analytics_events_created_at ON analytics_events (created_at);
CREATE INDEX ix_analytics_events_due ON analytics_events (next_attempt_at) WHERE state = 'waiting';
CREATE TABLE segment_changes (
    change_id BIGINT GENERATED ALWAYS AS IDENTITY,
    run_id UUID NOT NULL,
    mobile_id TEXT NOT NULL,
    from_segment TEXT,
    to_segment TEXT,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    reason TEXT NOT NULL,
    CONSTRAINT pk_segment_changes PRIMARY KEY (change_id)
);
CREATE INDEX ix_segment_changes_mobile_id_change_id ON segment_changes (mobile_id, change_id);
CREATE TABLE segment_changes_pending (
    generation BIGINT NOT NULL,
    mobile_id TEXT NOT NULL,
    shard INTEGER NOT NULL,
    from_segment TEXT,
    to_segment TEXT,
    reason TEXT NOT NULL,
    CONSTRAINT pk_segment_changes_pending PRIMARY KEY (generation, mobile_id)
);
CREATE TABLE rfm_results (
    generation BIGINT NOT NULL,
    shard SMALLINT NOT NULL,
    mobile_id TEXT NOT NULL,
    recency_days INTEGER NOT NULL,
    frequency INTEGER NOT NULL,
    cents BIGINT NOT NULL,
    r_score SMALLINT NOT NULL,
    f_score SMALLINT NOT NULL,
    m_score SMALLINT NOT NULL,
    rfm_score TEXT NOT NULL,
    segment TEXT NOT NULL,
    run_id UUID NOT NULL,
    computed_at TIMESTAMP WITH TIME ZONE NOT NULL
) PARTITION BY LIST (generation);
"""

# The result views. The generation is a scalar subquery, so that partitions of other generations are never scanned.
VIEWS = """
CREATE VIEW rfm_segments AS
SELECT mobile_id, recency_days, frequency, (cents / 100.0)::numeric(14, 2) AS monetary,
       r_score, f_score, m_score, rfm_score, segment, run_id, computed_at
FROM rfm_results
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'rfm');

CREATE VIEW menu_recommendation AS
SELECT daytime_id, menu_item_id, rank, orders, quantity, share, run_id, created_at
FROM menu_results
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'menu');
"""


def upgrade() -> None:
    """Create all tables and views."""
    op.execute(TABLES)
    op.execute(VIEWS)


def downgrade() -> None:
    """Drop all tables and views, with the results."""
    op.execute(
        "DROP VIEW rfm_segments, menu_recommendation;"
        "DROP TABLE rfm_results, menu_results, menu_tallies, menu_totals, analytics_retired, analytics_published,"
        " segment_changes, segment_changes_pending, analytics_totals, analytics_events, analytics_deliveries,"
        " analytics_parts, analytics_runs"
    )
