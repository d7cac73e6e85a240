"""Each customer's cluster, and whether the customer is overdue, beside the segment: lists are filtered by them.

`rfm_groups` has the number of customers with the same three.
"""

from alembic import op

revision = "0023"
down_revision = "0022"

# Indexes of the old form are dropped; workers add those of the new one.
UPGRADE = """
ALTER TABLE rfm_results ADD cluster_id INTEGER NOT NULL DEFAULT 0, ADD overdue BOOLEAN NOT NULL DEFAULT false;
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT indexrelid::regclass AS name FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE relname ~ '^rfm_results_g[0-9]+_s[0-9]+_by_(cents|frequency|last_day)$'
          AND pg_table_is_visible(pg_class.oid)
    LOOP
        EXECUTE format('DROP INDEX %s', old.name);
    END LOOP;
END $$;
UPDATE rfm_results AS r SET cluster_id = n.cluster_id, overdue = n.overdue
FROM (SELECT mobile_id, coalesce(c.cluster_id, 0) AS cluster_id, p.overdue_since IS NOT NULL AS overdue
      FROM customer_clusters AS c FULL JOIN customer_predictions AS p USING (mobile_id)) AS n
WHERE n.mobile_id = r.mobile_id AND (n.cluster_id <> 0 OR n.overdue)
  AND r.generation = (SELECT generation FROM analytics_published WHERE kind = 'rfm');
CREATE TABLE rfm_groups (
    generation BIGINT NOT NULL,
    segment_number SMALLINT NOT NULL,
    overdue BOOLEAN NOT NULL,
    cluster_id INTEGER NOT NULL,
    customers BIGINT NOT NULL,
    CONSTRAINT pk_rfm_groups PRIMARY KEY (generation, segment_number, overdue, cluster_id)
);
INSERT INTO rfm_groups
SELECT generation, segment_number, overdue, cluster_id, count(*) FROM rfm_results
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'rfm') GROUP BY 1, 2, 3, 4;
"""


def upgrade() -> None:
    """Add them, as they are published."""
    op.execute(UPGRADE)
