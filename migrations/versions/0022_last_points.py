"""Points of days that are not complete stand apart, so that an incremental run need not write all of a series."""

from alembic import op

revision = "0022"
down_revision = "0021"

# Of generations that are no longer published nothing is written any more.
UPGRADE = """
ALTER TABLE metric_results ADD last_points DOUBLE PRECISION[] NOT NULL DEFAULT '{}';
UPDATE metric_results AS r SET points = points[1:days], last_points = points[days + 1:]
FROM (SELECT m.generation, metric, dimension,
             greatest(0, (counts ->> 'last_complete_date')::date - first_date + 1) AS days
      FROM metric_results AS m JOIN analytics_published AS p ON p.generation = m.generation
      JOIN analytics_runs AS run ON run.run_id = p.run_id) AS complete
WHERE (r.generation, r.metric, r.dimension) = (complete.generation, complete.metric, complete.dimension);

CREATE OR REPLACE VIEW metric_series AS
SELECT metric, dimension, first_date + (place - 1)::int AS business_date, value
FROM metric_results, unnest(points || last_points) WITH ORDINALITY AS points (value, place)
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'trends') AND value <> 'NaN';
"""


def upgrade() -> None:
    """Divide the published points, and let the view show both parts."""
    op.execute(UPGRADE)
