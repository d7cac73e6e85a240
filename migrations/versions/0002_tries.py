"""The number of tries of a run's next step."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the count and the time of the last try; running runs start with 0."""
    op.execute("ALTER TABLE analytics_runs ADD tries INTEGER DEFAULT 0 NOT NULL, ADD tried_at TIMESTAMP WITH TIME ZONE")
