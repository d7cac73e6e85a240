"""Predictions per customer."""

from alembic import op

revision = "0012"
down_revision = "0011"

CREATE = """
CREATE TABLE prediction_results (
    generation BIGINT NOT NULL,
    shard SMALLINT NOT NULL,
    mobile_id TEXT NOT NULL,
    x INTEGER NOT NULL,
    t_x INTEGER NOT NULL,
    t INTEGER NOT NULL,
    p_alive DOUBLE PRECISION NOT NULL,
    p_order_30d DOUBLE PRECISION NOT NULL,
    p_order_90d DOUBLE PRECISION NOT NULL,
    expected_orders_90d DOUBLE PRECISION NOT NULL,
    value_cents BIGINT NOT NULL,
    next_order_from DATE,
    next_order_median DATE,
    next_order_to DATE,
    overdue_since DATE,
    model_version INTEGER NOT NULL,
    written_by INTEGER NOT NULL
) PARTITION BY LIST (generation);
CREATE VIEW customer_predictions AS
SELECT r.mobile_id, r.p_alive, r.p_order_30d, r.p_order_90d, r.expected_orders_90d,
       (r.value_cents / 100.0)::numeric(14, 2) AS expected_value_90d,
       r.next_order_from, r.next_order_median, r.next_order_to, r.overdue_since, r.model_version,
       w.run_id, w.started_at AS computed_at
FROM prediction_results AS r LEFT JOIN analytics_runs AS w ON w.generation = r.written_by
WHERE r.generation = (SELECT generation FROM analytics_published WHERE kind = 'predictions');
"""


def upgrade() -> None:
    """Create the results' table and the view that readers see."""
    for statement in CREATE.split(";\n"):
        if statement.strip():
            op.execute(statement)
