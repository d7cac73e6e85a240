"""Bringing our tables to the current version, with Alembic, one caller at a time."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from errors import UnavailableError
from postgres import check
from store.database import engine

MIGRATIONS = Path(__file__).parent.parent / "migrations"


def migrate(url: str) -> str:
    """Run what is missing and return the version that the tables now have.

    Raises
    ------
    UnavailableError
        When PostgreSQL can't be reached, or its user may not create tables.
    """
    check(url, "DATABASE_URL")
    config = _config()
    try:
        with engine(url).begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('smartcrm.migrate'))"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return MigrationContext.configure(connection).get_current_revision() or ""
    except Exception as fault:
        denied = getattr(fault, "orig", fault)
        if isinstance(denied, psycopg.errors.InsufficientPrivilege):
            raise UnavailableError(f"DATABASE_URL: {denied.diag.message_primary}.", code="database_denied") from None
        raise


def require_current(url: str) -> None:
    """Check that the tables have the version that this code was written for.

    Raises
    ------
    UnavailableError
        When they don't, saying that `smartcrm migrate` mends it.
    """
    check(url, "DATABASE_URL")
    with engine(url).connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    if found != wanted:
        raise UnavailableError(
            f"The tables in DATABASE_URL are at version {found or 'none'} and this program needs {wanted};"
            " run smartcrm migrate.",
            code="schema_outdated",
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
