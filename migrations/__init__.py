"""Alembic migrations of our tables; `smartcrm migrate` runs them."""
