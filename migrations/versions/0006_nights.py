"""Which business day's nightly runs were asked for last, in place of beat's schedule file."""

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
    """Keep the last night that an older version asked for; without one the first sweep begins with its own day."""
    op.execute(CREATE)
