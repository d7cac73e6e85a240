"""Each sender names its requests in a space of its own, so that a webhook-id can't stand for a night of ours."""

from alembic import op

revision = "0005"
down_revision = "0004"

# What was stored says by its body who sent it: only a night's has that type, and only an API request's has none.
CONVERT = """
ALTER TABLE analytics_deliveries ADD sender TEXT;
UPDATE analytics_deliveries SET sender = CASE
    WHEN body->>'type' = 'nightly' THEN 'nightly' WHEN body ? 'type' THEN 'webhook' ELSE 'api' END;
UPDATE analytics_deliveries SET delivery_id = body->>'business_date' WHERE sender = 'nightly';
ALTER TABLE analytics_deliveries ALTER sender SET NOT NULL, DROP CONSTRAINT pk_analytics_deliveries,
    ADD CONSTRAINT pk_analytics_deliveries PRIMARY KEY (sender, delivery_id);
"""


def upgrade() -> None:
    """Name the senders of what is stored; every name keeps its runs."""
    op.execute(CONVERT)
