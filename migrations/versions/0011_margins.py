"""The menu's margins, and the names, prices and costs of its items."""

from alembic import op

revision = "0011"
down_revision = "0010"

UPGRADE = """
ALTER TABLE menu_tallies ADD margins BIGINT[];
ALTER TABLE menu_totals ADD margins BIGINT[];
CREATE TABLE menu_items (
    generation BIGINT NOT NULL,
    item_id BIGINT NOT NULL,
    menu_item_name TEXT,
    category TEXT,
    price NUMERIC,
    cost NUMERIC,
    CONSTRAINT pk_menu_items PRIMARY KEY (generation, item_id)
);
"""


def upgrade() -> None:
    """Add the columns and the table; the next run fills them."""
    op.execute(UPGRADE)
