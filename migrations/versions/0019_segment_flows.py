"""`segment_flows`: moves between segments per business day, so that a page need not count all changes."""

from alembic import op

revision = "0019"
down_revision = "0018"

UPGRADE = """
CREATE TABLE segment_flows (
    business_date DATE NOT NULL,
    from_segment TEXT NOT NULL,
    to_segment TEXT NOT NULL,
    customers BIGINT NOT NULL,
    counted_to BIGINT NOT NULL,
    CONSTRAINT pk_segment_flows PRIMARY KEY (business_date, from_segment, to_segment)
);
"""


def upgrade() -> None:
    """Create it; the next publish fills it from the changes that are kept."""
    op.execute(UPGRADE)
