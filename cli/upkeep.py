"""`smartcrm migrate`, `load`, `doctor` and `forget`: our tables, the source tables, checks, and erasing a customer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from cli import console, shapes
from cli.app import cli, environment
from cli.console import counted, out
from cli.terminal import Screen, json_option, print_json
from errors import RequestError, SmartCRMError
from kinds import upkeep
from postgres import PUBLIC
from settings import from_files
from store import schema
from store.database import transaction


@cli.command()
@json_option
def migrate(as_json: bool) -> None:
    """Bring our tables to the current version."""
    with environment(redis=False, tables=False) as settings:
        version, ours = schema.migrate(settings.database_url), settings.results_schema != PUBLIC
        grants = {"grants": schema.grants(settings.database_url)} if ours else {}
        if as_json:
            print_json({"version": version} | grants)
            return
        out.print(f"The tables are at version {version}.")
        for each in grants.values():
            out.print(f"To let a role read the results: {each}", soft_wrap=True)


@cli.command()
@click.option("--transactions", type=click.Path(path_type=Path), help="fact_transactions as CSV or Parquet")
@click.option("--items", type=click.Path(path_type=Path), help="fact_transaction_items as CSV or Parquet")
@click.option("--menu", type=click.Path(path_type=Path), help="dim_menu_items as CSV or Parquet")
@click.option("--dayparts", type=click.Path(path_type=Path), help="dim_menu_daytimes as CSV or Parquet")
@json_option
def load(
    transactions: Path | None, items: Path | None, menu: Path | None, dayparts: Path | None, as_json: bool
) -> None:
    """Bulk-load source tables from files, all or nothing."""
    from source.load import load as load_files

    named = {
        "fact_transactions": transactions,
        "fact_transaction_items": items,
        "dim_menu_items": menu,
        "dim_menu_daytimes": dayparts,
    }
    files = {table: path for table, path in named.items() if path is not None}
    with (
        environment(redis=False, tables=False) as settings,
        _load_progress(console.err if as_json else out) as progress,
    ):
        loaded = load_files(settings.source_database_url, files, timezone=settings.timezone, progress=progress)
    if as_json:
        print_json({"loaded": loaded})
        return
    out.print(", ".join(f"{rows:,} rows into {table}" for table, rows in loaded.items()) or "The tables are there.")


@contextmanager
def _load_progress(screen: Screen) -> Iterator[Callable[[str, int, int], None]]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=screen, transient=True) as drawn:
        bars: dict[str, Any] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in bars:
                bars[name] = drawn.add_task(name, total=total)
            drawn.update(bars[name], completed=done)

        yield progress


@cli.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check databases, grants, indexes, Redis, time zone and secrets, and say what to do about each."""
    from cli.doctor import examine

    env = dict(from_files(os.environ))
    with environment(tables=False) as settings:
        findings = list(examine(settings, env))
    if as_json:
        print_json({"findings": [shapes.finding(each) for each in findings]})
    else:
        console.show_findings(findings)
    faults = sum(finding.level == "fault" for finding in findings)
    if faults:
        raise SmartCRMError(f"{counted(faults, 'fault')} to mend before runs can succeed.")


@cli.command()
@click.argument("mobile_id")
@json_option
def forget(mobile_id: str, as_json: bool) -> None:
    """Remove a customer from all that we store; the orders themselves are the CRM's to remove, first."""
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        removed = upkeep.forget(session, mobile_id)
    if not removed:
        raise RequestError(f"Nothing that is stored names a customer {mobile_id!r}.", code="customer_not_found")
    if as_json:
        print_json({"removed_rows": removed})
        return
    out.print(f"{counted(removed, 'row')} removed. A run finds the customer again while the CRM has orders of theirs.")
