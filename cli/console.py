"""Output of the `smartcrm` command on a terminal: tables of results and runs, and the progress of runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from cli import shapes
from cli.terminal import Screen, styled
from kinds.menu.results import RankedDaypart
from source.checks import Finding
from store.models import Event
from store.runs import FINISHED, RunState

out = Screen()
err = Screen(stderr=True)


def counted(number: float, noun: str) -> str:
    """The number with its noun: 1 row, 2 rows."""
    return f"{number:,.0f} {noun}{'' if round(number) == 1 else 's'}"


def show_customers(rows: Sequence[Any], more: bool) -> None:
    """Print customers with their values and scores."""
    table = Table("Customer", "Recency", "Frequency", "Monetary", "R-F-M", "Segment")
    for row in rows:
        table.add_row(
            row.mobile_id,
            counted(row.recency_days, "day"),
            f"{row.frequency:,}",
            f"{row.monetary:,.2f}",
            row.rfm_score,
            row.segment,
        )
    table.caption = "more with --export FILE" if more else None
    out.print(table)


def show_menu(dayparts: Sequence[RankedDaypart], top: int) -> None:
    """Print the best items of each daypart, best first, with their share of orders."""
    table = Table(title="Menu by time of day", title_justify="left", show_lines=True)
    table.add_column("Daypart", no_wrap=True)
    for rank in range(1, top + 1):
        table.add_column(f"{rank}.")
    for daypart in dayparts:
        cells = [
            styled(item.menu_item_name or f"item {item.menu_item_id}", " ", (f"{item.share:.1%}", "dim"))
            for item in daypart.items
        ]
        cells = cells[:top] or [styled(("no orders", "dim"))]
        label = styled((daypart.label, "bold"), "\n", _hours(daypart))
        table.add_row(label, *cells, *[""] * (top - len(cells)))
    out.print(table)


def show_daypart(daypart: RankedDaypart) -> None:
    """Print one daypart's items with their counts."""
    table = Table(title=f"{daypart.label} {_hours(daypart)}", title_justify="left")
    for name, side in (("", "right"), ("Item", "left"), ("Category", "left"), ("Orders", "right"), ("Pieces", "right")):
        table.add_column(name, justify="right" if side == "right" else "left")
    table.add_column("Share of orders", justify="right")
    for item in daypart.items:
        name, category = item.menu_item_name or f"item {item.menu_item_id}", item.category or ""
        table.add_row(f"{item.rank}.", name, category, f"{item.orders:,}", f"{item.quantity:,}", f"{item.share:.1%}")
    out.print(table)


def _hours(daypart: RankedDaypart) -> str:
    return f"{daypart.start_time}-{daypart.end_time}"


def show_runs(states: Sequence[RunState]) -> None:
    """Print runs, newest first."""
    table = Table(
        Column("Run", no_wrap=True, min_width=36),
        "Kind",
        "Mode",
        "Status",
        "Progress",
        "Requested (UTC)",
        "Took",
        "Left out",
        "Error",
    )
    for state in states:
        run = state.run
        took = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None
        table.add_row(
            str(run.run_id),
            run.kind,
            run.mode,
            run.status,
            f"{state.progress:.0%}",
            f"{run.requested_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            "" if took is None else f"{took:.1f} s",
            f"{sum(number for name, number in shapes.counts(run).items() if _left_out(name)):,}",
            state.error or "",
        )
    out.print(table)


def show_warnings(state: RunState) -> None:
    """Print a run's warnings."""
    for warning in shapes.warnings(state.run):
        out.print(styled((warning, "yellow")))


def show_counts(state: RunState) -> None:
    """Print a run's counts by name, skipped rows included."""
    table = Table("Counted", Column("Rows", justify="right"))
    for name, number in sorted(shapes.counts(state.run).items()):
        table.add_row(name, f"{number:,}")
    out.print(table)


def _left_out(name: str) -> bool:
    return name.startswith("skipped_") or name == "future_transactions"


def show_events(rows: Sequence[Event]) -> None:
    """Print outgoing events, newest first; URLs without user, password and query."""
    table = Table(
        Column("Event", no_wrap=True, min_width=36), "About", "To", "State", "Attempts", "Next (UTC)", "Answer"
    )
    for event in rows:
        waits = event.state == "waiting"
        table.add_row(
            str(event.event_id),
            f"{json.loads(event.body)['type']} {event.run_id}",
            shapes.public_url(event.url),
            event.state,
            str(event.attempts),
            f"{event.next_attempt_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if waits else "",
            event.last_answer or "",
        )
    out.print(table)


def show_event_keys(keys: Sequence[tuple[str, str, datetime | None]]) -> None:
    """Print one line per receiver, for copying: its URL, its key, and until when WEBHOOK_SECRETS sign as well."""
    for url, key, until in keys:
        both = f"  (until {until.astimezone(UTC):%Y-%m-%d} also signed with WEBHOOK_SECRETS)" if until else ""
        click.echo(f"{url} {key}{both}")
    if not keys:
        click.echo("EVENT_URLS names no receiver.")


def show_findings(findings: Sequence[Finding]) -> None:
    """Print what was checked, and how to fix it."""
    colours = {"ok": "green", "warning": "yellow", "fault": "red"}
    table = Table("", "What", "Found", "To do", show_lines=True)
    for each in findings:
        table.add_row(styled((each.level, colours[each.level])), each.subject, each.found, each.remedy)
    out.print(table)


def follow(
    read: Callable[[], Sequence[RunState]], tick: Callable[[], None], screen: Screen = out
) -> Sequence[RunState]:
    """Show the runs' progress until all are finished; `tick` is called between reads and may raise."""
    bars: dict[UUID, Any] = {}
    columns = (TextColumn("{task.description:<6}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=screen) as progress:
        while True:
            states = read()
            for state in states:
                run = state.run
                if run.run_id not in bars:
                    bars[run.run_id] = progress.add_task(run.kind, total=1.0)
                progress.update(bars[run.run_id], completed=state.progress)
                if run.status in FINISHED:
                    progress.stop_task(bars[run.run_id])
            if all(state.run.status in FINISHED for state in states):
                return states
            tick()
            time.sleep(0.1)
