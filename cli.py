"""The `smartcrm` command: every sub-command is thin, and every fault one sentence on standard error.

What only some commands need is imported there: pandas, Arrow and Celery take longer than most commands run.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from datetime import time as clock
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import click
import psycopg
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from sqlalchemy.exc import DBAPIError

import console
from console import out
from embedded import services
from embedded.group import ProcessGroup
from embedded.keeper import open_servers
from errors import RequestError, SmartCRMError, UnavailableError
from settings import Settings, home_from
from signatures import signed_headers
from store import events, results, retention, runs, schema
from store.database import transaction
from store.models import KINDS
from store.runs import RunState
from store.window import parse_as_of

SHOWN_CUSTOMERS = 50
TOP_SHOWN = 5


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Customer segments and menu rankings from a restaurant's orders."""


@contextmanager
def environment(*, embedded_only: bool = False, redis: bool = True, tables: bool = True) -> Iterator[Settings]:
    """The settings, with embedded servers where no URL is set, and our tables at their version.

    Our own embedded database is migrated on the way; another one only by `smartcrm migrate` and `up`.
    """
    env = {**os.environ}
    if embedded_only:
        for name in ("DATABASE_URL", "SOURCE_DATABASE_URL", "REDIS_URL"):
            env.pop(name, None)
    database = not env.get("DATABASE_URL", "").strip()
    redis = redis and not env.get("REDIS_URL", "").strip()
    # A wrong setting is told before anything is started.
    anywhere = {"DATABASE_URL": "postgresql://embedded/", "REDIS_URL": "redis://embedded:6379/0"}
    Settings.from_env({**anywhere, **{name: value for name, value in env.items() if value.strip()}})
    with open_servers(home_from(env), database=database, redis=redis) as urls:
        env = {**anywhere, **env, **urls}
        settings = Settings.from_env(env)
        for name in ("DATABASE_URL", "SOURCE_DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        os.environ.update({name: env[name] for name in (*anywhere, "SOURCE_DATABASE_URL") if name in env})
        if database:
            schema.migrate(settings.database_url)
        elif tables:
            schema.require_current(settings.database_url)
        yield settings


@cli.command()
@click.option("--once", is_flag=True, help="Stop after printing the results.")
def demo(once: bool) -> None:
    """Run the whole system on generated data, through its own signed webhook."""
    import demo as story

    with environment(embedded_only=True) as settings:
        story.prepare(settings)
        with serving(settings, log=settings.home / "logs" / "demo.log", any_port=True) as (serving_settings, group):
            asked = story.post_import(serving_settings)
            _wait_for(serving_settings, [UUID(run["run_id"]) for run in asked], group.watch)
            with transaction(serving_settings.database_url) as session:
                console.show_summary(results.summary(session))
                console.show_menu(results.menu(session), top=TOP_SHOWN)
            _print_urls(serving_settings)
            if once or not sys.stdout.isatty():
                return
            out.print("[bold]ready[/] - serving until Ctrl-C")
            _keep(group)


@cli.command()
def up() -> None:
    """Serve: webhook, worker, beat and Flower, with embedded PostgreSQL and Redis where no URL is set."""
    with environment(tables=False) as settings:
        schema.migrate(settings.database_url)
        _worker_listens()  # or Redis is told to be away before anything starts
        with serving(settings) as (serving_settings, group):
            _print_urls(serving_settings)
            out.print(f"ready on http://127.0.0.1:{serving_settings.port}")
            _keep(group)


@contextmanager
def serving(
    settings: Settings, *, log: Path | None = None, any_port: bool = False
) -> Iterator[tuple[Settings, ProcessGroup]]:
    """The four programs, ready, with the ports that they got."""
    settings = replace(
        settings,
        port=_port("PORT", settings.port, any_port),
        flower_port=_port("FLOWER_PORT", settings.flower_port, any_port),
    )
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)  # beat keeps its schedule there
    env = {**os.environ, "PORT": str(settings.port), "FLOWER_PORT": str(settings.flower_port)}
    with ProcessGroup() as group:
        services.start(group, settings, env, log)
        probes: dict[str, Callable[[], bool]] = {
            "webhook": lambda: services.answers(f"http://127.0.0.1:{settings.port}/healthz"),
            "flower": lambda: services.refuses_politely(f"http://127.0.0.1:{settings.flower_port}/"),
            "worker": _worker_listens,
        }
        services.wait_until_ready(group, probes)
        yield settings, group


def _port(name: str, wanted: int, any_port: bool) -> int:
    try:
        return services.choose_port(name, wanted)
    except SmartCRMError:
        if not any_port or os.environ.get(name):
            raise
        return services.choose_port(name, 0)


def _worker_listens() -> bool:
    from kombu.exceptions import OperationalError

    from worker.app import app

    try:
        # Beat answers pings, too, and does no work.
        names = [name for reply in app.control.ping(timeout=0.5) for name in reply]
        return any(not name.startswith("celerybeat@") for name in names)
    except OperationalError:
        raise _no_redis() from None


def _no_redis() -> UnavailableError:
    return UnavailableError("REDIS_URL: Redis can't be reached; what was asked for starts when it is back.")


def _print_urls(settings: Settings) -> None:
    out.print(
        f"Webhook  http://127.0.0.1:{settings.port}/webhooks/imports   API  http://127.0.0.1:{settings.port}/runs"
    )
    out.print(f"Flower   http://127.0.0.1:{settings.flower_port}   user smartcrm, password in FLOWER_PASSWORD or")
    out.print(f"         {settings.home}/secrets.json, where the webhook secret and the API token are, too")


def _keep(group: ProcessGroup) -> None:
    while True:
        group.watch()
        time.sleep(0.5)


@cli.command()
def migrate() -> None:
    """Bring our tables to the current version."""
    with environment(redis=False, tables=False) as settings:
        out.print(f"The tables are at version {schema.migrate(settings.database_url)}.")


@cli.command()
@click.option("--transactions", type=click.Path(path_type=Path), help="fact_transactions as CSV or Parquet")
@click.option("--items", type=click.Path(path_type=Path), help="fact_transaction_items as CSV or Parquet")
@click.option("--menu", type=click.Path(path_type=Path), help="dim_menu_items as CSV or Parquet")
@click.option("--dayparts", type=click.Path(path_type=Path), help="dim_menu_daytimes as CSV or Parquet")
def load(transactions: Path | None, items: Path | None, menu: Path | None, dayparts: Path | None) -> None:
    """Bulk-load source tables from files, all or nothing."""
    from store.load import load as load_files

    named = {
        "fact_transactions": transactions,
        "fact_transaction_items": items,
        "dim_menu_items": menu,
        "dim_menu_daytimes": dayparts,
    }
    files = {table: path for table, path in named.items() if path is not None}
    with environment(redis=False, tables=False) as settings, _load_progress() as progress:
        loaded = load_files(settings.source_database_url, files, timezone=settings.timezone, progress=progress)
    out.print(", ".join(f"{rows:,} rows into {table}" for table, rows in loaded.items()) or "The tables are there.")


@contextmanager
def _load_progress() -> Iterator[Callable[[str, int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=out, transient=True) as drawn:
        bars: dict[str, Any] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in bars:
                bars[name] = drawn.add_task(name, total=total)
            drawn.update(bars[name], completed=done)

        yield progress


@cli.command()
@click.argument("what", type=click.Choice([*KINDS, "all"]), default="all")
@click.option("--full/--incremental", "full", default=True, help="Everything anew (the default), or what changed.")
@click.option("--as-of", help="Count only what is at most this time; a date alone is its last instant.")
@click.option("--wait", is_flag=True, help="Show progress and fail if a run fails.")
def recompute(what: str, full: bool, as_of: str | None, wait: bool) -> None:
    """Ask for runs."""
    with environment() as settings:
        instant = parse_as_of(as_of, settings.timezone) if as_of else None
        with transaction(settings.database_url) as session:
            mode = "full" if full else "incremental"
            asked = runs.request(session, KINDS if what == "all" else [what], mode=mode, as_of=instant)
        _send_hints(run.run_id for run in asked)
        if wait:
            deadline = time.monotonic() + 5
            while not _worker_listens():
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        "No worker is listening, so the runs will wait for one; start it with smartcrm up.",
                        code="no_worker",
                    )
            states = _wait_for(settings, [run.run_id for run in asked], lambda: None)
        else:
            states = [RunState(run, 0, 0) for run in asked]
    for state in states:
        out.print(f"{state.run.kind} {state.run.mode} run {state.run.run_id} {state.run.status}")


def _send_hints(run_ids: Iterator[UUID]) -> None:
    from kombu.exceptions import OperationalError

    from worker.app import app

    try:
        for run_id in run_ids:
            app.send_task("smartcrm.advance", (str(run_id),), queue="control", retry=False, ignore_result=True)
    except OperationalError:
        raise _no_redis() from None


def _wait_for(settings: Settings, run_ids: Sequence[UUID], tick: Callable[[], None]) -> Sequence[RunState]:
    def read() -> list[RunState]:
        with transaction(settings.database_url) as session:
            return [state for run_id in run_ids if (state := runs.get(session, run_id))]

    states = console.follow(read, tick)
    failed = [state.run for state in states if state.run.status != "succeeded"]
    if failed:
        said = "; ".join(f"the {run.kind} run {run.status}: {run.error or 'no reason given'}" for run in failed)
        raise SmartCRMError(said[0].upper() + said[1:], code=failed[0].error_code)
    return states


@cli.command(name="runs")
@click.argument("run_id", type=click.UUID, required=False)
@click.option("--cancel", is_flag=True, help="Cancel this run if it is not finished.")
def show_runs(run_id: UUID | None, cancel: bool) -> None:
    """Runs and their state, newest first."""
    if cancel and run_id is None:
        raise click.UsageError("--cancel needs a RUN_ID.")
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        if run_id is None:
            console.show_runs(runs.newest(session))
            return
        if cancel:
            runs.cancel(session, run_id)
        state = runs.get(session, run_id)
        if state is None:
            raise RequestError(f"There is no run {run_id}.", code="run_not_found")
        console.show_runs([state])


@cli.command(name="events")
def show_events() -> None:
    """Outgoing events and how far their delivery is, newest first."""
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        console.show_events(events.newest(session))


@cli.command()
def doctor() -> None:
    """Check databases, grants, indexes, Redis, time zone and secrets, and say what to do about each."""
    from doctor import examine

    env = dict(os.environ)
    with environment(tables=False) as settings:
        findings = list(examine(settings, env))
    console.show_findings(findings)
    faults = sum(finding.level == "fault" for finding in findings)
    if faults:
        raise SmartCRMError(f"{faults} {'fault' if faults == 1 else 'faults'} to mend before runs can succeed.")


@cli.command()
@click.argument("mobile_id")
def forget(mobile_id: str) -> None:
    """Remove a customer from all that we store; the orders themselves are the CRM's to remove, first."""
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        removed = retention.forget(session, mobile_id)
    out.print(f"{removed} rows removed. A run finds the customer again while the CRM has orders of theirs.")


@cli.command()
@click.option("--import-id", help="The CRM's own name of the import.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind.")
@click.option("--full", is_flag=True, help="Ask for full runs.")
@click.option("--transaction-ids", nargs=2, type=int, metavar="FROM TO", help="Ids that were imported late.")
@click.option("--url", help="The webhook; by default on this machine, at PORT.")
def sign(
    import_id: str | None, kinds: tuple[str, ...], full: bool, transaction_ids: tuple[int, int] | None, url: str | None
) -> None:
    """Print a curl command that posts a signed import; it is good for five minutes."""
    # No database is needed to sign, and none is asked for.
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
    words = ["curl", "-i", "-X", "POST", url or f"http://127.0.0.1:{settings.port}/webhooks/imports"]
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}"]
    click.echo(shlex.join([*words, "--data-raw", body]))


@cli.command()
@click.option("--segment", help="Only this segment, customer by customer.")
@click.option("--export", type=click.Path(path_type=Path, dir_okay=False), help="Write to a .csv or .parquet file.")
def segments(segment: str | None, export: Path | None) -> None:
    """The published segments: a summary, one segment's customers, or all of them into a file."""
    if export and export.suffix not in (".csv", ".parquet"):
        raise RequestError(f"{export} ends neither in .csv nor in .parquet.")
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        state = results.published(session, "rfm")
        if state is None:
            raise RequestError(
                "No segments are published yet; ask for them with smartcrm recompute.", code="no_results"
            )
        summary = results.summary(session)
        names = sorted({*state.segments, *(row.segment for row in summary)})
        if segment is not None and segment not in names:
            raise RequestError(f"There is no segment {segment!r}; there are {', '.join(names)}.")
        if export:
            _export(results.segments(session, segment), export)
        elif segment is None:
            console.show_summary(summary)
        else:
            rows = results.segments(session, segment, limit=SHOWN_CUSTOMERS + 1)
            console.show_customers(rows[:SHOWN_CUSTOMERS], more=len(rows) > SHOWN_CUSTOMERS)


def _export(rows: Sequence[Any], path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(results.SEGMENT_COLUMNS)).astype({"run_id": str})
    try:
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)
    except OSError as fault:
        raise RequestError(f"{path} can't be written: {fault.strerror or fault}.") from None
    out.print(f"{len(frame):,} customers into {path}")


@cli.command()
@click.option("--at", help="Only the daypart that covers this time of day, HH:MM.")
def menu(at: str | None) -> None:
    """The published menu rankings, by daypart."""
    try:
        moment = clock.fromisoformat(at) if at else None
    except ValueError:
        raise RequestError(f"--at is {at!r}, which is not a time of day such as 12:30.") from None
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        if results.published(session, "menu") is None:
            raise RequestError("No menu is published yet; ask for it with smartcrm recompute.", code="no_results")
        dayparts = results.menu(session, moment)
        if moment is None:
            console.show_menu(dayparts, top=TOP_SHOWN)
        elif dayparts:
            console.show_daypart(dayparts[0])
        else:
            out.print(f"No daypart covers {at}.")


def main() -> None:
    """Run the command; a fault for a person is one sentence on standard error and exit code 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as fault:
        fault.show()
        sys.exit(fault.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(0 if sys.argv[1:2] in (["up"], ["demo"]) else 130)
    except SmartCRMError as fault:
        click.echo(f"smartcrm: {fault}", err=True)
        sys.exit(1)
    except (DBAPIError, psycopg.Error) as fault:
        cause = fault.orig if isinstance(fault, DBAPIError) else fault
        told = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
        click.echo(f"smartcrm: PostgreSQL could not do it: {told or str(cause).strip().splitlines()[0]}.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
