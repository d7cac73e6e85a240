"""The ledger of the newest rows' keys; a run of before has none, so the next run recomputes everything."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table."""
    op.execute(
        "CREATE TABLE analytics_ledger (generation BIGINT NOT NULL, part INTEGER NOT NULL, kind TEXT NOT NULL,"
        " keys TEXT[], CONSTRAINT pk_analytics_ledger PRIMARY KEY (generation, part))"
    )
