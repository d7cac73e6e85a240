"""Quantities may be thousandths: `menu_recommendation.quantity` is numeric(18,3).

The rows keep whole numbers, and their unit beside them: a column with a constant default changes no row, so that
snapshots from before see what they saw.
"""

from alembic import op

from migrations.views import redefine

revision = "0004"
down_revision = "0003"

VIEW = """
SELECT daytime_id, menu_item_id, rank, orders, (quantity * (1.0 / quantity_unit))::numeric(18, 3) AS quantity,
       share, run_id, created_at
FROM menu_results
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'menu')
"""
# A running run with quantities of a non-integer type has counted whole pieces so far, so it is planned again.
PLAN_AGAIN = """
WITH weighed AS (
    UPDATE analytics_runs SET plan = NULL, counts = NULL
    WHERE kind = 'menu' AND status = 'running'
    AND plan #>> '{columns,fact_transaction_items,quantity}' NOT IN ('smallint', 'integer', 'bigint')
    RETURNING run_id, generation),
parts AS (DELETE FROM analytics_parts USING weighed WHERE analytics_parts.run_id = weighed.run_id),
results AS (DELETE FROM menu_results USING weighed WHERE menu_results.generation = weighed.generation),
totals AS (DELETE FROM menu_totals USING weighed WHERE menu_totals.generation = weighed.generation)
DELETE FROM menu_tallies USING weighed WHERE menu_tallies.generation = weighed.generation
"""


def upgrade() -> None:
    """Add the unit; the view keeps the order of its columns, its grants and its dependent views."""
    op.execute("ALTER TABLE menu_results ADD quantity_unit INTEGER DEFAULT 1 NOT NULL")
    redefine(op.get_bind(), "menu_recommendation", VIEW)
    op.execute(PLAN_AGAIN)
