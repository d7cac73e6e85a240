"""Cohorts are counted per business day, so that an incremental run can count the days from a changed one on anew."""

from alembic import op

revision = "0021"
down_revision = "0020"

# What is published keeps its months, each as its first day; the next run of trends is a full one.
UPGRADE = """
ALTER TABLE metric_cohort_tallies RENAME TO metric_cohort_months;
ALTER TABLE metric_cohort_months RENAME CONSTRAINT pk_metric_cohort_tallies TO pk_metric_cohort_months;
CREATE TABLE metric_cohort_tallies (
    generation BIGINT NOT NULL,
    business_date DATE NOT NULL,
    part INTEGER NOT NULL,
    cohorts BIGINT[] NOT NULL,
    customers BIGINT[] NOT NULL,
    cents BIGINT[] NOT NULL,
    CONSTRAINT pk_metric_cohort_tallies PRIMARY KEY (generation, business_date, part)
);
INSERT INTO metric_cohort_tallies
SELECT generation, month, part,
       array_agg((12 * (extract(year FROM cohort) - 2000) + extract(month FROM cohort) - 1)::bigint ORDER BY cohort),
       array_agg(customers ORDER BY cohort), array_agg(cents ORDER BY cohort)
FROM metric_cohort_months GROUP BY generation, month, part;
DROP TABLE metric_cohort_months;
"""


def upgrade() -> None:
    """Change the table, with what it holds."""
    op.execute(UPGRADE)
