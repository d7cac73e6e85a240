"""`smartcrm predictions`: expected orders per segment, customer by customer, or in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from sqlalchemy.orm import Session

from cli import exports
from cli.app import cli, environment
from cli.console import counted, out
from cli.terminal import json_option, print_json
from errors import RequestError
from kinds.predictions import results
from kinds.rfm import results as rfm_results
from store.database import transaction
from store.published import PublishedState, published

SHOWN = 50


@cli.command()
@click.option("--segment", help="Only customers of this segment.")
@click.option("--overdue", is_flag=True, help="Only customers who are overdue by their own rhythm.")
@click.option("--export", type=click.Path(path_type=Path, dir_okay=False), help="Write to a .csv or .parquet file.")
@exports.for_excel_option
@json_option
def predictions(segment: str | None, overdue: bool, export: Path | None, for_excel: bool, as_json: bool) -> None:
    """Expected orders per segment, of the customers of one segment, of overdue customers, or of all in a file."""
    exports.check_target(export, for_excel=for_excel)
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        state = published(session, "predictions")
        if state is None:
            command = "smartcrm recompute predictions"
            raise RequestError(f"No predictions are published yet; {command} computes them.", code="no_results")
        lacking = results.too_little_data(state)
        if lacking is not None:
            print_json({"status": "too_little_data"} | lacking) if as_json else out.print(too_little(lacking))
            return
        wanted = results.Filter(overdue=overdue or None, segment=_segment(session, segment))
        if export:
            rows = _export(results.predictions(session, wanted), export, for_excel)
            print_json({"file": str(export), "rows": rows}) if as_json else out.print(
                f"{counted(rows, 'customer')} into {export}"
            )
        elif segment is None and not overdue:
            _show_summary(session, state, as_json)
        elif as_json:
            found = results.predictions(session, wanted)
            members = [{name: getattr(row, name) for name in results.PREDICTION_COLUMNS} for row in found]
            print_json({"run_id": state.run.run_id, "as_of": state.as_of, "predictions": members})
        else:
            _show(results.predictions(session, wanted, limit=SHOWN + 1))


def story(session: Session) -> Iterator[str]:
    """The predictions in two lines; none if they are not computed."""
    state = published(session, "predictions")
    if state is None:
        return
    lacking = results.too_little_data(state)
    if lacking is not None:
        yield f"Predictions: {too_little(lacking)}"
        return
    everybody, *segments = results.by_segment(session)
    yield (
        f"Predictions: {everybody.expected_orders_90d:,.0f} orders worth {everybody.expected_value_90d:,.2f} are"
        f" expected of {everybody.customers:,} customers in 90 days."
    )
    for row in segments:
        if row.segment == "Champions":
            yield f"Champions at risk: {row.overdue:,} of {row.customers:,} are due and have not come."


def too_little(lacking: dict[str, Any]) -> str:
    """The sentence with what a model lacks: the amount there is, and the amount that it needs."""
    unmet = {name: needed for name, needed in lacking["needs"].items() if lacking["has"][name] < needed}
    parts = [f"{lacking['has'][name]:,} of {needed:,} {name.replace('_', ' ')}" for name, needed in unmet.items()]
    return f"There is too little data: {', '.join(parts)}."


def _segment(session: Session, wanted: str | None) -> str | None:
    if wanted is None:
        return None
    state = published(session, "rfm")
    names = [] if state is None else rfm_results.segment_names(state)
    found = rfm_results.segment_named(names, wanted)
    if found is None:
        raise RequestError(f"There is no segment {wanted!r}; there are {', '.join(names) or 'none yet'}.")
    return found


def _export(rows: Sequence[Any], path: Path, for_excel: bool) -> int:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(results.PREDICTION_COLUMNS)).astype({"run_id": str})
    exports.write(frame, path, for_excel=for_excel)
    return len(frame)


def _show_summary(session: Session, state: PublishedState, as_json: bool) -> None:
    rows, last = results.by_segment(session), results.last_month(session, state)
    if as_json:
        shape = {"run_id": state.run.run_id, "as_of": state.as_of, "season_unknown": True, "last_month": last}
        print_json(shape | {"segments": [dict(row._mapping) for row in rows]})
        return
    table = Table("Segment", *(f"{name}" for name in ("Customers", "Overdue", "P(order 90 d)", "Orders", "Value")))
    for row in rows:
        figures = (f"{row.customers:,}", f"{row.overdue:,}", f"{row.mean_p_order_90d:.2f}")
        table.add_row(
            row.segment or "all", *figures, f"{row.expected_orders_90d:,.0f}", f"{row.expected_value_90d:,.2f}"
        )
    out.print(table)
    if last is not None and last["predicted_to_actual"] is not None:
        level = f"For the last 30 days it expected {last['predicted']:,.0f} customers to order; {last['actual']:,} did."
        out.print(f"{level} The model knows no yearly season.", soft_wrap=True)


def _show(rows: Sequence[Any]) -> None:
    table = Table("Customer", "P(order 90 d)", "Orders", "Value", "Next order", "Overdue since")
    for row in rows[:SHOWN]:
        span = f"{row.next_order_from} to {row.next_order_to}" if row.next_order_from else ""
        table.add_row(
            row.mobile_id,
            f"{row.p_order_90d:.2f}",
            f"{row.expected_orders_90d:.1f}",
            f"{row.expected_value_90d:,.2f}",
            span,
            str(row.overdue_since or ""),
        )
    out.print(table)
    if len(rows) > SHOWN:
        out.print(f"The first {SHOWN}; --export writes all.")
