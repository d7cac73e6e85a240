"""`smartcrm recommend` and `smartcrm backtest`: customers' lists with reasons, and the quality of such lists."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime
from datetime import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click
from rich.table import Table
from sqlalchemy.orm import Session

from cli import exports
from cli.app import cli, environment
from cli.console import counted, out
from cli.terminal import json_option, print_json
from errors import RequestError
from settings import Settings
from store.database import snapshot
from store.published import PublishedState, published

if TYPE_CHECKING:
    from kinds.recommendations.ranking import Ranking, Reason

KIND = "recommendations"
WRITTEN = 2_000  # customers at a time


@cli.command()
@click.argument("mobile_id", required=False)
@click.option("--at", default="now", show_default=True, help="A time of day, HH:MM, or now.")
@click.option(
    "--export", type=click.Path(path_type=Path, dir_okay=False), help="All customers' lists, to .csv or .parquet."
)
@exports.for_excel_option
@json_option
def recommend(mobile_id: str | None, at: str, export: Path | None, for_excel: bool, as_json: bool) -> None:
    """Rank items for a customer, with reasons; or write all customers' lists to a file."""
    if (mobile_id is None) == (export is None):
        raise click.UsageError("Name a customer, or a file with --export.")
    exports.check_target(export, for_excel=for_excel)
    with environment(redis=False) as settings, snapshot(settings.database_url) as session:
        state, moment = _state(session), _moment(at, settings)
        if export:
            rows = _export(session, state, settings, moment, export, for_excel)
            if as_json:
                print_json({"file": str(export), "rows": rows})
            else:
                out.print(f"{counted(rows, 'row')} into {export}")
            return
        found = one(session, state, settings, str(mobile_id), moment)
        if as_json:
            print_json(shape(found, state))
        else:
            show(found)


@cli.command()
@json_option
def backtest(as_json: bool) -> None:
    """Show how many items of later visits the published lists would have held."""
    from kinds.recommendations import described, results

    with environment(redis=False) as settings, snapshot(settings.database_url) as session:
        state = _state(session)
        found = results.quality(session, state)
        sentences = described.quality(found)
        columns = ("method", "customers", "recall", "ndcg", "hit_rate", "repeat_share", "coverage", "z", "published")
        if as_json:
            methods = [{name: getattr(each, name) for name in columns} for each in found]
            print_json({"run_id": found[0].run_id, "as_of": state.as_of, "summary": sentences, "methods": methods})
            return
        for sentence in sentences:
            out.print(sentence)
        table = Table("List", "Customers", "Recall", "NDCG", "Hit rate", "Repeats", "Coverage", "z", "Published")
        for each in found:
            numbers = (each.recall, each.ndcg, each.hit_rate, each.repeat_share, each.coverage)
            shares = [f"{number:.3f}" for number in numbers]
            table.add_row(each.method, f"{each.customers:,}", *shares, f"{each.z:.1f}", "yes" if each.published else "")
        out.print(table)


def one(session: Session, state: PublishedState, settings: Settings, mobile_id: str, moment: clock) -> Ranking:
    """One customer's list at a time of day."""
    from kinds.recommendations import results

    daypart = results.daypart_at(state, moment)
    mode, limit = settings.recommendation_mode, min(settings.top_n, 100)
    return results.rankings(session, state, [mobile_id], daypart, limit=limit, mode=mode)[0]


def show(found: Ranking) -> None:
    """Print a customer's list, best first."""
    label = found.daypart.label if found.daypart else "all times of day"
    table = Table(title=f"{found.mobile_id}: {found.method} list, {label}", title_justify="left")
    for name in ("", "Item", "Category", "Score", "Why"):
        table.add_column(name, justify="right" if name in ("", "Score") else "left")
    for item in found.items:
        name = item.name or str(item.item_id)
        table.add_row(str(item.rank), name, item.category or "", f"{item.score:.4f}", _why(item.reason))
    out.print(table)


def shape(found: Ranking, state: PublishedState) -> dict[str, Any]:
    """A customer's list with the members of the HTTP API."""
    daypart = found.daypart
    return {
        "mobile_id": found.mobile_id,
        "method": found.method,
        "daypart": {"daytime_id": daypart.daytime_id, "daytime_label": daypart.label} if daypart else None,
        "run_id": state.run.run_id,
        "items": [
            {name: getattr(item, name) for name in ("item_id", "name", "category", "rank", "score")}
            | {"reason": _reason(item.reason)}
            for item in found.items
        ],
    }


def _reason(reason: Reason) -> dict[str, Any]:
    return {
        "kind": reason.kind,
        "orders": reason.orders,
        "last_ordered": None if reason.last_ordered is None else reason.last_ordered.isoformat(),
        "with": None if reason.together_with is None else vars(reason.together_with),
    }


def _why(reason: Reason) -> str:
    if reason.kind == "ordered":
        return f"ordered {counted(reason.orders, 'time')}, last on {reason.last_ordered}"
    if reason.together_with is not None:
        other = reason.together_with.name or reason.together_with.item_id
        return f"{counted(reason.orders, 'customer')} ordered it as well as {other}"
    return f"popular: {counted(reason.orders, 'order')}"


def _export(
    session: Session, state: PublishedState, settings: Settings, moment: clock, path: Path, for_excel: bool
) -> int:
    import pandas as pd

    from kinds.recommendations import results

    daypart = results.daypart_at(state, moment)
    limit, mode = min(settings.top_n, 100), settings.recommendation_mode
    found = results.everybody(session, state, daypart, limit=limit, mode=mode)
    types = {
        "mobile_id": "str",
        "method": "str",
        "daytime_id": "Int64",
        "rank": "int64",
        "item_id": "int64",
        "name": "str",
        "category": "str",
        "score": "float64",
        "reason": "str",
        "orders": "int64",
        "last_ordered": "str",
        "with_item_id": "Int64",
        "with_name": "str",
        "run_id": "str",
    }

    def frames() -> Iterator[pd.DataFrame]:
        while rankings := list(itertools.islice(found, WRITTEN)):
            rows = [row for ranking in rankings for row in _rows(ranking, str(state.run.run_id))]
            yield pd.DataFrame(rows, columns=list(types)).astype(types)

    empty = pd.DataFrame([], columns=list(types)).astype(types)
    return exports.stream(itertools.chain([empty], frames()), path, for_excel=for_excel)


def _rows(ranking: Ranking, run_id: str) -> Iterator[tuple[Any, ...]]:
    daytime_id = ranking.daypart.daytime_id if ranking.daypart else None
    for item in ranking.items:
        reason, other = item.reason, item.reason.together_with
        last = reason.last_ordered and reason.last_ordered.isoformat()
        yield (
            *(ranking.mobile_id, ranking.method, daytime_id, item.rank, item.item_id, item.name, item.category),
            *(item.score, reason.kind, reason.orders, last, other and other.item_id, other and other.name, run_id),
        )


def _state(session: Session) -> PublishedState:
    state = published(session, KIND)
    if state is None:
        message = "No recommendations are published yet; request them with smartcrm recompute recommendations."
        raise RequestError(message, code="no_results")
    return state


def _moment(at: str, settings: Settings) -> clock:
    if at == "now":
        return datetime.now(ZoneInfo(settings.timezone)).time()
    try:
        return clock.fromisoformat(at)
    except ValueError:
        raise RequestError(f"--at is {at!r}, which is neither now nor a time of day such as 12:30.") from None
