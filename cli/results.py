"""`smartcrm segments` and `smartcrm menu`: the published results, on the screen or into a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time as clock
from pathlib import Path
from typing import Any

import click

from cli import console, exports, shapes
from cli.app import cli, environment
from cli.console import counted, out
from cli.terminal import json_option, print_json
from errors import RequestError
from kinds.menu import results as menu_results
from kinds.rfm import results as rfm_results
from kinds.rfm.ties import heavy_tie
from store.database import transaction
from store.published import published

SHOWN_CUSTOMERS = 50
TOP_SHOWN = 5


@cli.command()
@click.option("--segment", help="Only this segment, customer by customer.")
@click.option("--export", type=click.Path(path_type=Path, dir_okay=False), help="Write to a .csv or .parquet file.")
@exports.for_excel_option
@json_option
def segments(segment: str | None, export: Path | None, for_excel: bool, as_json: bool) -> None:
    """The published segments: a summary, one segment's customers, or all of them into a file."""
    if export:
        exports.check_target(export, for_excel=for_excel)
    elif for_excel:
        raise click.UsageError("--for-excel needs --export FILE.csv.")
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        state = published(session, "rfm")
        if state is None:
            raise RequestError(
                "No segments are published yet; ask for them with smartcrm recompute.", code="no_results"
            )
        summary = rfm_results.summary(session)
        names = sorted({*rfm_results.segment_names(state), *(row.segment for row in summary)})
        if segment is not None:
            wanted, segment = segment, rfm_results.segment_named(names, segment)
            if segment is None:
                raise RequestError(f"There is no segment {wanted!r}; there are {', '.join(names)}.")
        if export:
            rows = _export(rfm_results.segments(session, segment), export, for_excel)
            if as_json:
                print_json({"file": str(export), "rows": rows})
            else:
                out.print(f"{counted(rows, 'customer')} into {export}")
        elif segment is None:
            if as_json:
                print_json(shapes.summary(state, summary))
            else:
                console.show_summary(summary, heavy_tie(session, state))
        elif as_json:
            print_json(shapes.customers(state, rfm_results.segments(session, segment)))
        else:
            customers = rfm_results.segments(session, segment, limit=SHOWN_CUSTOMERS + 1)
            console.show_customers(customers[:SHOWN_CUSTOMERS], more=len(customers) > SHOWN_CUSTOMERS)


def _export(rows: Sequence[Any], path: Path, for_excel: bool) -> int:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(rfm_results.SEGMENT_COLUMNS)).astype({"run_id": str})
    exports.write(frame, path, for_excel=for_excel)
    return len(frame)


@cli.command()
@click.option("--at", help="Only the daypart that covers this time of day, HH:MM.")
@json_option
def menu(at: str | None, as_json: bool) -> None:
    """The published menu rankings, by daypart."""
    try:
        moment = clock.fromisoformat(at) if at else None
    except ValueError:
        raise RequestError(f"--at is {at!r}, which is not a time of day such as 12:30.") from None
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        state = published(session, "menu")
        if state is None:
            raise RequestError("No menu is published yet; ask for it with smartcrm recompute.", code="no_results")
        dayparts = menu_results.menu(session, moment)
        if as_json:
            one = moment is not None
            print_json(shapes.daypart(next(iter(dayparts), None)) if one else shapes.menu(state, dayparts))
        elif moment is None:
            console.show_menu(dayparts, top=TOP_SHOWN)
        elif dayparts:
            console.show_daypart(dayparts[0])
        else:
            out.print(f"No daypart covers {at}.")
