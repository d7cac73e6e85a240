"""The business day whose nightly runs were requested last, instead of beat's schedule file."""

from alembic import op

revision = "0006"
down_revision = "0005"

CREATE = """
CREATE TABLE analytics_nights (
    single BOOLEAN NOT NULL DEFAULT true CONSTRAINT ck_analytics_nights_single CHECK (single),
    asked_for DATE NOT NULL,
    CONSTRAINT pk_analytics_nights PRIMARY KEY (single)
);
INSERT INTO analytics_nights (asked_for)
SELECT max(delivery_id)::date FROM analytics_deliveries WHERE sender = 'nightly' HAVING count(*) > 0;
"""


def upgrade() -> None:
    """Keep the last night that an older version requested; without one the first sweep sets its own day."""
    op.execute(CREATE)
