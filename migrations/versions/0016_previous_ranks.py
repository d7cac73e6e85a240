"""`menu_recommendation` says what an item's rank was a week before."""

from alembic import op

revision = "0016"
down_revision = "0015"

# A new last column keeps the view's grants and the views that depend on it.
UPGRADE = """
CREATE TABLE menu_rank_history (
    business_date DATE NOT NULL,
    daytime_id INTEGER NOT NULL,
    menu_item_id BIGINT NOT NULL,
    rank INTEGER NOT NULL,
    CONSTRAINT pk_menu_rank_history PRIMARY KEY (business_date, daytime_id, menu_item_id)
);
ALTER TABLE menu_results ADD previous_rank INTEGER;
CREATE OR REPLACE VIEW menu_recommendation AS
SELECT daytime_id, menu_item_id, rank, orders, (quantity * (1.0 / quantity_unit))::numeric(18, 3) AS quantity,
       share, run_id, created_at, previous_rank
FROM menu_results
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'menu');
"""


def upgrade() -> None:
    """Add the column and what it is taken from; older runs' ranks are not known."""
    op.execute(UPGRADE)
