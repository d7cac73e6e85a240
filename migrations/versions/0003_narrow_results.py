"""Customers' rows store numbers for their segment and run: a third less to write in a full run."""

from alembic import op

revision = "0003"
down_revision = "0002"

# The rows of a generation get their numbers from its run; generations that no reader sees are left out.
CONVERT = """
ALTER TABLE analytics_runs ADD segment_names TEXT[];
UPDATE analytics_runs SET segment_names = ARRAY(
    SELECT name FROM jsonb_array_elements_text(plan->'segments') WITH ORDINALITY AS each (name, position)
    GROUP BY name ORDER BY min(position)
) WHERE plan ? 'segments';
CREATE TEMP TABLE owners ON COMMIT DROP AS
    SELECT generation, run_id FROM analytics_published WHERE kind = 'rfm'
    UNION SELECT baseline, baseline_run_id FROM analytics_published WHERE kind = 'rfm' AND baseline IS NOT NULL
    UNION SELECT generation, run_id FROM analytics_runs WHERE kind = 'rfm' AND status = 'running';
DELETE FROM rfm_results WHERE generation NOT IN (SELECT generation FROM owners);
UPDATE analytics_runs AS w SET segment_names = o.segment_names
    FROM (SELECT DISTINCT generation, run_id FROM rfm_results) AS wrote
    JOIN owners USING (generation) JOIN analytics_runs AS o ON o.run_id = owners.run_id
    WHERE w.run_id = wrote.run_id;
ALTER TABLE rfm_results ADD segment_number SMALLINT, ADD written_by INTEGER;
UPDATE rfm_results AS r
    SET segment_number = array_position(w.segment_names, r.segment), written_by = w.generation
    FROM analytics_runs AS w WHERE w.run_id = r.run_id;
"""
# All published rows use the same names, so a scalar subquery finds a segment's rows without a join. The LEFT JOIN is
# removed by the planner if the query does not use the run's columns.
VIEW = """
CREATE OR REPLACE VIEW rfm_segments AS
SELECT r.mobile_id, r.recency_days, r.frequency, (r.cents / 100.0)::numeric(14, 2) AS monetary,
       r.r_score, r.f_score, r.m_score, (100 * r.r_score + 10 * r.f_score + r.m_score)::text AS rfm_score,
       (SELECT segment_names FROM analytics_runs JOIN analytics_published USING (run_id)
        WHERE analytics_published.kind = 'rfm')[r.segment_number] AS segment,
       w.run_id, w.started_at AS computed_at
FROM rfm_results AS r LEFT JOIN analytics_runs AS w ON w.generation = r.written_by
WHERE r.generation = (SELECT generation FROM analytics_published WHERE kind = 'rfm');
"""
NARROW = """
ALTER TABLE rfm_results
    DROP rfm_score, DROP segment, DROP run_id, DROP computed_at,
    ALTER segment_number SET NOT NULL, ALTER written_by SET NOT NULL;
"""


def upgrade() -> None:
    """Convert the published generation, the baseline and a running run's; the view keeps its columns and grants."""
    for statements in (CONVERT, VIEW, NARROW):
        op.execute(statements)
