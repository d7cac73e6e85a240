"""The digest of the newest orders has a column of its own, beside the keys of every kind."""

from alembic import op

revision = "0024"
down_revision = "0023"

UPGRADE = """
ALTER TABLE analytics_ledger ADD digest TEXT;
UPDATE analytics_ledger SET digest = (SELECT substr(key, 3) FROM unnest(keys) AS key WHERE key LIKE 'h:%'),
    keys = ARRAY(SELECT key FROM unnest(keys) AS key WHERE key NOT LIKE 'h:%')
WHERE kind = 'recommendations' AND keys IS NOT NULL;
"""


def upgrade() -> None:
    """Move the digests of recommendations out of their keys."""
    op.execute(UPGRADE)
