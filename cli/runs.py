"""`smartcrm recompute`, `runs`, `events` and `sign`: requesting runs, and showing runs and events."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import click

from cli import console, shapes
from cli.app import cli, environment
from cli.console import out
from cli.terminal import json_option, print_json
from cli.workers import send_advance, wait_for, wait_for_worker
from errors import RequestError
from kinds import KINDS, needs, requests
from settings import Settings
from signatures import signed_headers
from source.window import parse_as_of
from store import event_keys, events, inbox, runs
from store.database import transaction
from store.models import Run
from store.runs import RunState


@cli.command()
@click.argument("what", type=click.Choice([*KINDS, "all"]), default="all")
@click.option("--full/--incremental", "full", default=True, help="Recompute everything (the default), or what changed.")
@click.option("--as-of", help="Count only orders up to this time; a date alone means its last instant.")
@click.option("--wait", is_flag=True, help="Show progress and fail if a run fails.")
@json_option
def recompute(what: str, full: bool, as_of: str | None, wait: bool, as_json: bool) -> None:
    """Request runs."""
    with environment() as settings:
        instant = parse_as_of(as_of, settings.timezone) if as_of else None
        mode = "full" if full else "incremental"
        with transaction(settings.database_url) as session:
            wanted = requests.requested(session, settings, None if what == "all" else [what], mode, every=True)
            requested = inbox.request(session, wanted, mode=mode, as_of=instant, needs=needs(wanted))
        follow(settings, requested, wait=wait, as_json=as_json)


def follow(settings: Settings, requested: Sequence[Run], *, wait: bool, as_json: bool) -> None:
    """Send task messages for requested runs, and show the runs: at once, or when they have ended."""
    send_advance(run.run_id for run in requested)
    if wait:
        wait_for_worker(settings.home)
        screen = console.err if as_json else out  # with --json, standard output has only JSON
        states = wait_for(settings, [run.run_id for run in requested], lambda: None, screen)
    else:
        states = [RunState(run) for run in requested]
    if as_json:
        print_json({"runs": [shapes.run(state) for state in states]})
        return
    for state in states:
        out.print(f"{state.run.kind} {state.run.mode} run {state.run.run_id} {state.run.status}")


@cli.command(name="runs")
@click.argument("run_id", type=click.UUID, required=False)
@click.option("--cancel", is_flag=True, help="Cancel this run if it is not finished.")
@json_option
def show_runs(run_id: UUID | None, cancel: bool, as_json: bool) -> None:
    """Runs and their state, newest first."""
    if cancel and run_id is None:
        raise click.UsageError("--cancel needs a RUN_ID.")
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        if run_id is None:
            states = runs.newest(session)
            print_json({"runs": [shapes.run(state) for state in states]}) if as_json else console.show_runs(states)
            return
        if cancel:
            runs.cancel(session, run_id)
        state = runs.get(session, run_id)
        if state is None:
            raise RequestError(f"There is no run {run_id}.", code="run_not_found")
        if as_json:
            print_json(shapes.run(state))
            return
        console.show_runs([state])
        console.show_warnings(state)
        if shapes.counts(state.run):
            console.show_counts(state)


@cli.command(name="events")
@click.option(
    "--keys", is_flag=True, help="Show the key that signs each receiver's events, for the receiver's settings."
)
@json_option
def show_events(keys: bool, as_json: bool) -> None:
    """Outgoing events and the state of their delivery, newest first."""
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        if keys:
            found = event_keys.every(session, settings)
            print_json(shapes.event_keys(found)) if as_json else console.show_event_keys(found)
        else:
            rows = events.newest(session)
            print_json({"events": [shapes.event(row) for row in rows]}) if as_json else console.show_events(rows)


@cli.command()
@click.option("--import-id", help="The CRM's id of the import.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice([*KINDS]), help="Only this kind.")
@click.option("--full", is_flag=True, help="Request full runs.")
@click.option("--transaction-ids", nargs=2, type=int, metavar="FROM TO", help="Ids that were imported late.")
@click.option("--url", help="The webhook; by default on this machine, at PORT.")
@json_option
def sign(
    import_id: str | None,
    kinds: tuple[str, ...],
    full: bool,
    transaction_ids: tuple[int, int] | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Print a curl command that posts a signed import; it is valid for five minutes."""
    # Signing needs no database.
    anywhere = {"DATABASE_URL": "postgresql://unused/", "REDIS_URL": "redis://unused:6379/0"}
    settings = Settings.from_env({**anywhere, **{name: value for name, value in os.environ.items() if value.strip()}})
    data: dict[str, Any] = {"import_id": import_id, "kinds": list(kinds), "mode": "full" if full else None}
    if transaction_ids:
        data["transaction_ids"] = {"from": transaction_ids[0], "to": transaction_ids[1]}
    now = datetime.now(UTC)
    given = {name: value for name, value in data.items() if value}
    body = json.dumps({"type": "import.completed", "timestamp": now.isoformat(), "data": given})
    headers = {"Content-Type": "application/json"}
    headers |= signed_headers(settings.webhook_secrets[:1], f"import_{uuid4().hex}", now, body)
    url = url or f"http://127.0.0.1:{settings.port}/webhooks/imports"
    if as_json:
        print_json({"url": url, "headers": headers, "body": body})
        return
    words = ["curl", "-i", "-X", "POST", url]
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}"]
    click.echo(shlex.join([*words, "--data-raw", body]))
