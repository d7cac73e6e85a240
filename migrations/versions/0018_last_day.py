"""The business date of each customer's last purchase instead of `recency_days`, and customers counted per value."""

from alembic import op

revision = "0018"
down_revision = "0017"

# Nothing that is stored follows from the business date any more: `rfm_segments` computes `recency_days`. A generation's
# rows, and the staging of a run under way, were computed for the business date of its run (without one, nobody reads
# them). Days are since 2000-01-01.
UPGRADE = """
ALTER TABLE rfm_results ADD last_day INTEGER;
UPDATE rfm_results AS r SET last_day = days.today - DATE '2000-01-01' - r.recency_days
FROM (SELECT held.generation, coalesce((w.plan ->> 'business_date')::date, CURRENT_DATE) AS today
      FROM (SELECT DISTINCT generation FROM rfm_results) AS held
      LEFT JOIN analytics_published AS p ON p.kind = 'rfm' AND p.generation = held.generation
      LEFT JOIN analytics_runs AS w
        ON CASE WHEN p.run_id IS NULL THEN w.generation = held.generation ELSE w.run_id = p.run_id END) AS days
WHERE days.generation = r.generation;
DO $$
DECLARE
    staging record;
BEGIN
    FOR staging IN
        SELECT pg_class.oid::regclass AS name, (plan ->> 'business_date')::date - DATE '2000-01-01' AS today
        FROM pg_class JOIN analytics_runs
          ON generation = substring(relname FROM '^rfm_staging_g([0-9]+)_s[0-9]+$')::bigint
        WHERE relkind = 'r' AND pg_table_is_visible(pg_class.oid) AND plan IS NOT NULL
    LOOP
        EXECUTE format('ALTER TABLE %s ADD last_day INTEGER', staging.name);
        EXECUTE format('UPDATE %s SET last_day = %s - recency_days', staging.name, staging.today);
    END LOOP;
END $$;
CREATE OR REPLACE VIEW rfm_segments AS
SELECT r.mobile_id,
       (SELECT (plan ->> 'business_date')::date - DATE '2000-01-01'
        FROM analytics_runs JOIN analytics_published USING (run_id)
        WHERE analytics_published.kind = 'rfm') - r.last_day AS recency_days,
       r.frequency, (r.cents / 100.0)::numeric(14, 2) AS monetary,
       r.r_score, r.f_score, r.m_score, (100 * r.r_score + 10 * r.f_score + r.m_score)::text AS rfm_score,
       (SELECT segment_names FROM analytics_runs JOIN analytics_published USING (run_id)
        WHERE analytics_published.kind = 'rfm')[r.segment_number] AS segment,
       w.run_id, w.started_at AS computed_at, r.first_purchase_at
FROM rfm_results AS r LEFT JOIN analytics_runs AS w ON w.generation = r.written_by
WHERE r.generation = (SELECT generation FROM analytics_published WHERE kind = 'rfm');
ALTER TABLE rfm_results DROP recency_days, ALTER last_day SET NOT NULL;
CREATE TABLE rfm_counts (
    generation BIGINT NOT NULL,
    shard INTEGER NOT NULL,
    measure TEXT NOT NULL,
    measured INTEGER[] NOT NULL,
    customers INTEGER[] NOT NULL,
    CONSTRAINT pk_rfm_counts PRIMARY KEY (generation, shard, measure)
);
"""


def upgrade() -> None:
    """Change them, with their rows."""
    op.execute(UPGRADE)
