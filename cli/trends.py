"""`smartcrm trends`: which series rise or fall, with their weeks as a line and what is expected next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table
from sqlalchemy.orm import Session

from cli import shapes
from cli.app import cli, environment
from cli.console import out
from cli.terminal import json_option, print_json, styled
from errors import RequestError
from kinds.trends import results
from kinds.trends.results import Wanted
from store.database import transaction
from store.published import PublishedState, published

SHOWN, WEEKS, WEEK = 60, 26, 7
MOVING = 5  # series that the demo shows
BARS = "▁▂▃▄▅▆▇█"
DIRECTIONS = {"rising": ("↗ rising", "green"), "falling": ("↘ falling", "red"), "steady": ("→ steady", "")}
NAMES = (
    "metric",
    "dimension",
    "name",
    "direction",
    "change",
    "p_value",
    "q_value",
    "weeks",
    "season_unknown",
    "anomaly",
)


@cli.command()
@click.option("--metric", help="Only this metric, such as item_orders.")
@click.option("--dimension", help="Only this dimension: an item's or daypart's id, a category or a segment.")
@click.option("--direction", type=click.Choice([*DIRECTIONS, "too_little_data"]), help="Only series that move so.")
@json_option
def trends(metric: str | None, dimension: str | None, direction: str | None, as_json: bool) -> None:
    """The published trends: all totals, and every series that rises or falls."""
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        state = published(session, "trends")
        if state is None:
            raise RequestError(
                "No trends are published yet; ask for them with smartcrm recompute trends.", code="no_results"
            )
        wanted = Wanted(metric, dimension)
        rows = results.trends(state.generation, wanted, direction, weeks=not as_json).rows(session)
        if as_json:
            print_json(shapes.trends(state, [{name: getattr(row, name) for name in NAMES} for row in rows]))
            return
        chosen = rows if metric or dimension or direction else [row for row in rows if _matters(row)]
        _show(state, chosen)


def story(session: Session) -> None:
    """A short table for the demo: orders and revenue, and the items, categories and dayparts that move most."""
    state = published(session, "trends")
    if state is None:
        return
    rows = results.trends(state.generation, Wanted(), weeks=True).rows(session)
    moving = [row for row in rows if row.direction in ("rising", "falling") and ":" not in row.dimension]
    moving.sort(key=lambda row: (-abs(row.change), row.metric, row.dimension))
    _show(state, [*(row for row in rows if row.metric in ("orders", "revenue")), *moving[:MOVING]])


def _matters(row: Any) -> bool:
    return row.dimension == "" or row.direction in ("rising", "falling") or row.anomaly


def _show(state: PublishedState, rows: Sequence[Any]) -> None:
    last = (state.run.counts or {}).get("last_complete_date")
    if last is None or not rows:
        out.print("There is no such series." if last else "There are no orders yet.")
        return
    table = Table("Metric", "Of", f"Last {WEEKS} weeks", title="Trends", title_justify="left", caption_justify="left")
    for name in ("Last week", "Next week", "Change"):
        table.add_column(name, justify="right")
    table.add_column("Trend", no_wrap=True)
    for row in rows[:SHOWN]:
        weeks = _weeks(row)
        direction = DIRECTIONS.get(row.direction, ("too little data", "dim"))
        season = "?" if row.season_unknown and row.direction in ("rising", "falling") else ""
        table.add_row(
            row.metric,
            row.name or row.dimension,
            sparkline(weeks),
            _number(weeks[-1] if weeks else None, row.metric),
            _number(_expected(row), row.metric),
            "" if row.change is None else f"{row.change:+.0%}",
            styled((direction[0] + season, direction[1]), *([("  odd day", "yellow")] if row.anomaly else [])),
        )
    more = f"; {len(rows) - SHOWN:,} more with --json" if len(rows) > SHOWN else ""
    unknown = any(row.season_unknown for row in rows)
    table.caption = f"{min(len(rows), SHOWN)} series, up to {last}{more}." + (
        " ?: it may be a yearly season, since less than two years are known." if unknown else ""
    )
    out.print(table)


def _weeks(row: Any) -> list[float]:
    """The sums (means, for a ticket) of the last weeks, counted back from the last complete day; NaN where unknown."""
    points = row.points
    weeks = [points[max(end - WEEK, 0) : end] for end in range(len(points), WEEK - 1, -WEEK)][:WEEKS]
    return [_total(week, row.metric) for week in reversed(weeks)]


def _expected(row: Any) -> float | None:
    return _total(row.forecasts[:WEEK], row.metric) if row.forecasts else None


def _total(days: Sequence[float], metric: str) -> float:
    known = [day for day in days if not math.isnan(day)]
    of_days = metric in ("average_ticket", "segment_customers", "segment_revenue")
    return math.nan if not known else sum(known) / (len(known) if of_days else 1)


def sparkline(values: Sequence[float]) -> str:
    """The values as bars between the least and the largest; a space where one is not known."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return ""
    least, most = min(known), max(known)
    span = most - least or 1
    bars = [" " if math.isnan(value) else BARS[int((value - least) / span * (len(BARS) - 1) + 0.5)] for value in values]
    return "".join(bars)


def _number(value: float | None, metric: str) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:,.2f}" if "revenue" in metric or "ticket" in metric else f"{value:,.0f}"
