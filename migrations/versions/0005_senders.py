"""Delivery ids are unique per sender, so that a webhook-id can't equal the id of a nightly request."""

from alembic import op

revision = "0005"
down_revision = "0004"

# The body of a stored delivery shows its sender: only a nightly one has this type, and only an API request has none.
CONVERT = """
ALTER TABLE analytics_deliveries ADD sender TEXT;
UPDATE analytics_deliveries SET sender = CASE
    WHEN body->>'type' = 'nightly' THEN 'nightly' WHEN body ? 'type' THEN 'webhook' ELSE 'api' END;
UPDATE analytics_deliveries SET delivery_id = body->>'business_date' WHERE sender = 'nightly';
ALTER TABLE analytics_deliveries ALTER sender SET NOT NULL, DROP CONSTRAINT pk_analytics_deliveries,
    ADD CONSTRAINT pk_analytics_deliveries PRIMARY KEY (sender, delivery_id);
"""


def upgrade() -> None:
    """Set the sender of stored deliveries; every id keeps its runs."""
    op.execute(CONVERT)
