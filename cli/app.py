"""The command group, and the environment of its commands: settings, and embedded servers where no URL is set."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from embedded.keeper import open_servers
from home import home_from, require_own
from settings import Settings, from_files
from store import schema


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="smartcrm-analytics", prog_name="smartcrm", message="%(prog)s %(version)s")
def cli() -> None:
    """Customer segments and menu rankings from a restaurant's orders."""


@contextmanager
def environment(*, embedded_only: bool = False, redis: bool = True, tables: bool = True) -> Iterator[Settings]:
    """The settings, with embedded servers where no URL is set, after a check of our tables' version.

    The embedded database is migrated automatically; any other only by `smartcrm migrate` and `up`.
    """
    env = dict(from_files(os.environ))
    if embedded_only:
        for name in ("DATABASE_URL", "SOURCE_DATABASE_URL", "REDIS_URL"):
            env.pop(name, None)
    database = not env.get("DATABASE_URL", "").strip()
    redis = redis and not env.get("REDIS_URL", "").strip()
    # Check all settings before a server is started.
    anywhere = {"DATABASE_URL": "postgresql://embedded/", "REDIS_URL": "redis://embedded:6379/0"}
    Settings.from_env({**anywhere, **{name: value for name, value in env.items() if value.strip()}})
    home = home_from(env)
    if database or redis:
        require_own(home)
    with open_servers(home, database=database, redis=redis) as urls:
        if urls:
            _say_embedded(home, list(urls), chosen=embedded_only)
        env = {**anywhere, **env, **urls}
        settings = Settings.from_env(env)
        for name in ("DATABASE_URL", "SOURCE_DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
            os.environ.pop(f"{name}_FILE", None)
        os.environ.update({name: env[name] for name in (*anywhere, "SOURCE_DATABASE_URL") if name in env})
        if database:
            schema.migrate(settings.database_url)
        elif tables:
            schema.require_current(settings.database_url)
        yield settings


def _say_embedded(home: Path, variables: Sequence[str], *, chosen: bool) -> None:
    names = {"DATABASE_URL": "PostgreSQL", "REDIS_URL": "Redis"}
    servers = " and ".join(names[variable] for variable in variables)
    reason = "" if chosen else f", as {' and '.join(variables)} {'are' if len(variables) > 1 else 'is'} not set"
    # With --json, standard output has only JSON.
    click.echo(f"Embedded {servers}{reason}; files in {home}.", err="--json" in sys.argv)
