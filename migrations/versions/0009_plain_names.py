"""Plain names in the menu's tallies and in the plans of running runs."""

from alembic import op

revision = "0009"
down_revision = "0008"

_PLAN = {"everything": "recompute_all", "few": "inline", "stretches": "day_buckets"}


def upgrade() -> None:
    """Rename a column that no reader sees, and the members of plans."""
    op.execute("ALTER TABLE menu_tallies RENAME COLUMN stretch TO day_bucket")
    for old, new in _PLAN.items():
        renamed = f"plan - '{old}' || jsonb_build_object('{new}', plan -> '{old}')"
        op.execute(f"UPDATE analytics_runs SET plan = {renamed} WHERE jsonb_exists(plan, '{old}')")  # noqa: S608
