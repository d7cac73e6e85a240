"""`smartcrm load`: loads files into the source tables, and writes a first map for an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from cli.app import cli, environment
from cli.console import err, out
from cli.terminal import Screen, json_option, print_json, shown
from errors import LoadError
from source.loading.options import DATE_ORDERS, DECIMALS, ON_CONFLICT, Options

if TYPE_CHECKING:
    from source.loading.guess import Guess
    from source.loading.report import Loaded

MAP = Path("map.toml")
FILE = click.Path(path_type=Path)


@cli.command()
@click.option("--transactions", type=FILE, help="fact_transactions as CSV or Parquet")
@click.option("--items", type=FILE, help="fact_transaction_items as CSV or Parquet")
@click.option("--menu", type=FILE, help="dim_menu_items as CSV or Parquet")
@click.option("--dayparts", type=FILE, help="dim_menu_daytimes as CSV or Parquet")
@click.option("--sales", type=FILE, help="a flat export: one row per sold line")
@click.option("--map", "map_name", help="a TOML file that names the columns, or shopify, square or till")
@click.option("--guess", "guessing", is_flag=True, help=f"write a first {MAP} for --sales and load nothing")
@click.option("--delimiter", help="what separates fields: one character, or tab (default: a comma)")
@click.option("--decimal", type=click.Choice(DECIMALS), help="the decimal sign of amounts")
@click.option("--encoding", help="such as cp1252 or utf-16 (default: its byte order mark's, or UTF-8)")
@click.option("--date-order", type=click.Choice(DATE_ORDERS), help="of dates that are not ISO 8601")
@click.option(
    "--on-conflict",
    type=click.Choice(ON_CONFLICT),
    default="refuse",
    show_default=True,
    help="what happens to rows that the tables have already",
)
@json_option
def load(
    transactions: Path | None,
    items: Path | None,
    menu: Path | None,
    dayparts: Path | None,
    sales: Path | None,
    map_name: str | None,
    guessing: bool,
    as_json: bool,
    **written: Any,
) -> None:
    """Load files into the source tables, all or nothing."""
    if written["delimiter"] in ("tab", "\\t"):
        written["delimiter"] = "\t"
    options = Options(**written)
    named = {
        "fact_transactions": transactions,
        "fact_transaction_items": items,
        "dim_menu_items": menu,
        "dim_menu_daytimes": dayparts,
    }
    files = {table: path for table, path in named.items() if path is not None}
    if sales is not None and files:
        raise click.UsageError("--sales can't be combined with other files: load them with another command.")
    if guessing and (sales is None or map_name is not None):
        raise click.UsageError("--guess is for --sales without --map.")
    if guessing and sales is not None:
        _guess(sales, options, as_json)
        return
    from source.load import load as load_files
    from source.load import load_sales
    from source.loading.maps import read_map

    columns = read_map(map_name) if map_name is not None else None
    if sales is not None and columns is None:
        raise click.UsageError("--sales needs --map; --guess writes a first one.")
    with environment(redis=False, tables=False) as settings, _progress(err if as_json else out) as progress:
        url, zone = settings.source_database_url, settings.timezone
        if sales is not None and columns is not None:
            loaded = load_sales(url, sales, columns, timezone=zone, options=options, progress=progress)
        else:
            loaded = load_files(url, files, timezone=zone, options=options, columns=columns, progress=progress)
    if as_json:
        result = asdict(loaded)
        print_json({"loaded": result.pop("rows"), **result})
    else:
        _show_loaded(loaded)


def _show_loaded(loaded: Loaded) -> None:
    for warning in loaded.warnings:
        click.echo(shown(f"warning: {warning}"), err=True)
    parts = [f"{_rows(count)} into {table}" for table, count in loaded.rows.items()]
    parts += [f"{_rows(count)} updated in {table}" for table, count in loaded.updated.items() if count]
    parts += [f"{_rows(count)} removed from {table}" for table, count in loaded.removed.items() if count]
    parts += [f"{_rows(count)} skipped for {table}" for table, count in loaded.skipped.items() if count]
    parts += [f"{count:,} new in {table}" for table, count in loaded.numbered.items()]
    parts += [f"{_rows(loaded.left_out)} left out by status"] if loaded.left_out else []
    _say(", ".join(parts) or "The tables are there.")
    changed = any(loaded.updated.values()) or any(loaded.removed.values())
    if changed:
        _say("Rows that runs may have read have changed. Next: smartcrm recompute --full --wait")
    elif any(loaded.rows.values()):
        _say("Next: smartcrm recompute --wait")


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _say(text: str) -> None:
    out.print(text, soft_wrap=True)


def _guess(path: Path, options: Options, as_json: bool) -> None:
    from source.loading.guess import guess

    found = guess(path, options)
    text = found.toml()
    try:
        if MAP.exists() and MAP.read_text("utf-8") != text:
            raise LoadError(f"{MAP} exists already; move it away first.")
        MAP.write_text(text, "utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise LoadError(f"{MAP} can't be written: {reason}.") from None
    if as_json:
        print_json({"map": str(MAP), "columns": found.columns, "not_used": found.unused, "notes": found.notes})
        return
    _show(found)
    _say(f"Check {MAP}, then: smartcrm load --sales {path} --map {MAP}")


def _show(found: Guess) -> None:
    _say(f"{MAP} is written, from {found.source}:")
    for name, columns in found.columns.items():
        _say(f"  {name:<16} {' + '.join(columns) if name != 'mobile_id' else ' or '.join(columns)}")
    if found.leave_out:
        _say(f"  left out         status {', '.join(found.leave_out)}")
    options = found.options
    for name, value in (
        ("delimiter", options.delimiter),
        ("decimal", options.decimal),
        ("encoding", options.encoding),
        ("date_order", options.date_order),
        ("empty", ", ".join(sorted(options.empty))),
    ):
        if value:
            _say(f"  {name:<16} {'tab' if value == chr(9) else value}")
    if found.unused:
        _say(f"  not used         {', '.join(found.unused)}")
    for note in found.notes:
        _say(f"  {note}")


@contextmanager
def _progress(screen: Screen) -> Iterator[Callable[[str, int, int], None]]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=screen, transient=True) as drawn:
        bars: dict[str, Any] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in bars:
                bars[name] = drawn.add_task(name, total=total)
            drawn.update(bars[name], completed=done)

        yield progress
