"""`smartcrm demo` and `smartcrm up`: webhook, worker, beat and Flower as processes of one group."""

from __future__ import annotations

import os
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import click

from broker import checks
from cli import clusters, console, predictions, tables, trends
from cli.app import cli, environment
from cli.console import out
from cli.health import flower_prefix
from cli.terminal import styled
from cli.workers import UP, wait_for, worker_listens
from embedded import locks, services
from embedded.group import ProcessGroup
from embedded.ports import choose_port
from errors import SmartCRMError
from kinds.menu import results as menu_results
from kinds.rfm import results as rfm_results
from settings import Settings
from store import schema
from store.database import transaction

TOP_SHOWN = 5


@cli.command()
@click.option("--once", is_flag=True, help="Stop after printing the results.")
def demo(once: bool) -> None:
    """Run the whole system on generated data, through its own signed webhook."""
    from cli import demo as story

    with environment(embedded_only=True) as settings:
        story.prepare(settings)
        with serving(settings, log=settings.home / "logs" / "demo.log", any_port=True) as (serving_settings, group):
            requested = story.post_import(serving_settings)
            wait_for(serving_settings, [UUID(run["run_id"]) for run in requested], group.watch)
            with transaction(serving_settings.database_url) as session:
                tables.show_summary(rfm_results.summary(session))
                console.show_menu(menu_results.menu(session), top=TOP_SHOWN)
                story.show_lists(session, serving_settings)
                for line in (*predictions.story(session), *clusters.story(session)):
                    out.print(line, soft_wrap=True)
                trends.story(session)
            _print_urls(serving_settings)
            if once or not sys.stdout.isatty():
                return
            out.print(styled(("ready", "bold"), " - serving until Ctrl-C"))
            _keep(group)


@cli.command()
def up() -> None:
    """Serve: webhook, worker, beat and Flower, with embedded PostgreSQL and Redis where no URL is set."""
    with environment(tables=False) as settings, starting(settings.home):
        schema.migrate(settings.database_url)
        worker_listens()  # raises if Redis can't be reached, before anything is started
        with settings.redis.client(timeout=2) as client:
            checks.refuse_cluster(client)
        with serving(settings) as (serving_settings, group):
            _print_urls(serving_settings)
            out.print(f"ready on http://127.0.0.1:{serving_settings.port}")
            _keep(group)


@contextmanager
def starting(home: Path) -> Iterator[None]:
    """Hold a lock that tells other commands of this home that a worker runs or is about to start."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = locks.take(home / UP)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


@contextmanager
def serving(
    settings: Settings, *, log: Path | None = None, any_port: bool = False
) -> Iterator[tuple[Settings, ProcessGroup]]:
    """Start the four programs, and yield the settings with their ports when they are ready."""
    settings = replace(
        settings,
        port=_port("PORT", settings.port, any_port),
        flower_port=_port("FLOWER_PORT", settings.flower_port, any_port),
    )
    env = {**os.environ, "PORT": str(settings.port), "FLOWER_PORT": str(settings.flower_port)}
    with ProcessGroup() as group:
        services.start(group, settings, env, log)
        token = (*settings.api_tokens, *settings.read_tokens)[0]
        login = b64encode(f"smartcrm:{settings.flower_password}".encode()).decode()
        probes: dict[str, Callable[[], bool]] = {
            "webhook": lambda: services.accepts(f"http://127.0.0.1:{settings.port}/runs?limit=1", f"Bearer {token}"),
            "flower": lambda: services.accepts(f"{_flower(settings)}/", f"Basic {login}"),
            "worker": worker_listens,
        }
        services.wait_until_ready(group, probes)
        yield settings, group


def _port(name: str, wanted: int, any_port: bool) -> int:
    try:
        return choose_port(name, wanted)
    except SmartCRMError:
        if not any_port or os.environ.get(name):
            raise
        return choose_port(name, 0)


def _flower(settings: Settings) -> str:
    """Flower's URL."""
    return f"http://127.0.0.1:{settings.flower_port}{flower_prefix()}"


def _print_urls(settings: Settings) -> None:
    out.print(
        f"Webhook  http://127.0.0.1:{settings.port}/webhooks/imports   API  http://127.0.0.1:{settings.port}/runs"
    )
    out.print(f"Flower   {_flower(settings)}   user smartcrm, password in FLOWER_PASSWORD or")
    out.print(f"         {settings.home}/secrets.json, which also has the webhook secret and the API token")


def _keep(group: ProcessGroup) -> None:
    while True:
        group.watch()
        time.sleep(0.5)
