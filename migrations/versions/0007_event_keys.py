"""Keys for outgoing events, one per receiver."""

import base64
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

CREATE = """
CREATE TABLE analytics_event_keys (
    url TEXT NOT NULL CONSTRAINT pk_analytics_event_keys PRIMARY KEY,
    secret TEXT NOT NULL,
    both_until TIMESTAMPTZ
)
"""
KEEP = "INSERT INTO analytics_event_keys VALUES (:url, :secret, now() + interval '30 days')"


def upgrade() -> None:
    """Existing receivers verify with WEBHOOK_SECRETS, so for 30 days their events are signed with both keys."""
    op.execute(CREATE)
    connection = op.get_bind()
    for url in connection.execute(sa.text("SELECT DISTINCT url FROM analytics_events")).scalars().all():
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        connection.execute(sa.text(KEEP), {"url": url, "secret": secret})
