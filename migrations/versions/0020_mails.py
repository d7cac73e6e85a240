"""The morning mails of the last business dates."""

from alembic import op

revision = "0020"
down_revision = "0019"

CREATE = """
CREATE TABLE analytics_mails (
    business_date DATE NOT NULL,
    mail_id UUID NOT NULL,
    state TEXT NOT NULL CONSTRAINT ck_analytics_mails_state CHECK (state IN ('waiting', 'sent', 'skipped', 'failed')),
    data_until DATE,
    remaining TEXT[] NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_answer TEXT,
    CONSTRAINT pk_analytics_mails PRIMARY KEY (business_date)
);
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(CREATE)
