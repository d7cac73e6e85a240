"""`segment_history`, and each customer's first purchase, which `rfm_segments` shows as its last column."""

from alembic import op

revision = "0017"
down_revision = "0016"

# Staging of runs under way gets the column, too: their later parts read it. A new last column keeps the view's grants
# and the views that depend on it.
UPGRADE = """
CREATE TABLE segment_history (
    business_date DATE NOT NULL,
    segment TEXT NOT NULL,
    customers BIGINT NOT NULL,
    revenue NUMERIC(16, 2) NOT NULL,
    run_id UUID,
    CONSTRAINT pk_segment_history PRIMARY KEY (business_date, segment)
);
ALTER TABLE rfm_results ADD first_purchase_at TIMESTAMPTZ;
DO $$
DECLARE staging regclass;
BEGIN
    FOR staging IN
        SELECT oid::regclass FROM pg_class
        WHERE relname ~ '^rfm_staging_g[0-9]+_s[0-9]+$' AND relkind = 'r' AND pg_table_is_visible(oid)
    LOOP
        EXECUTE format('ALTER TABLE %s ADD IF NOT EXISTS first_purchase_at TIMESTAMPTZ', staging);
    END LOOP;
END $$;
CREATE OR REPLACE VIEW rfm_segments AS
SELECT r.mobile_id, r.recency_days, r.frequency, (r.cents / 100.0)::numeric(14, 2) AS monetary,
       r.r_score, r.f_score, r.m_score, (100 * r.r_score + 10 * r.f_score + r.m_score)::text AS rfm_score,
       (SELECT segment_names FROM analytics_runs JOIN analytics_published USING (run_id)
        WHERE analytics_published.kind = 'rfm')[r.segment_number] AS segment,
       w.run_id, w.started_at AS computed_at, r.first_purchase_at
FROM rfm_results AS r LEFT JOIN analytics_runs AS w ON w.generation = r.written_by
WHERE r.generation = (SELECT generation FROM analytics_published WHERE kind = 'rfm');
"""


def upgrade() -> None:
    """Add them; the first run after it, a full one, fills the column."""
    op.execute(UPGRADE)
