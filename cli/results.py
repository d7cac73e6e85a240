"""`smartcrm segments` and `smartcrm menu`: the published results, on the screen or into a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time as clock
from pathlib import Path
from typing import Any

import click

from cli import console
from cli.app import cli, environment
from cli.console import out
from errors import RequestError
from kinds.menu import results as menu_results
from kinds.rfm import results as rfm_results
from store.database import transaction
from store.published import published

SHOWN_CUSTOMERS = 50
TOP_SHOWN = 5


@cli.command()
@click.option("--segment", help="Only this segment, customer by customer.")
@click.option("--export", type=click.Path(path_type=Path, dir_okay=False), help="Write to a .csv or .parquet file.")
def segments(segment: str | None, export: Path | None) -> None:
    """The published segments: a summary, one segment's customers, or all of them into a file."""
    if export and export.suffix not in (".csv", ".parquet"):
        raise RequestError(f"{export} ends neither in .csv nor in .parquet.")
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        state = published(session, "rfm")
        if state is None:
            raise RequestError(
                "No segments are published yet; ask for them with smartcrm recompute.", code="no_results"
            )
        summary = rfm_results.summary(session)
        names = sorted({*rfm_results.segment_names(state), *(row.segment for row in summary)})
        if segment is not None and segment not in names:
            raise RequestError(f"There is no segment {segment!r}; there are {', '.join(names)}.")
        if export:
            _export(rfm_results.segments(session, segment), export)
        elif segment is None:
            console.show_summary(summary)
        else:
            rows = rfm_results.segments(session, segment, limit=SHOWN_CUSTOMERS + 1)
            console.show_customers(rows[:SHOWN_CUSTOMERS], more=len(rows) > SHOWN_CUSTOMERS)


def _export(rows: Sequence[Any], path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(rfm_results.SEGMENT_COLUMNS)).astype({"run_id": str})
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
        if published(session, "menu") is None:
            raise RequestError("No menu is published yet; ask for it with smartcrm recompute.", code="no_results")
        dayparts = menu_results.menu(session, moment)
        if moment is None:
            console.show_menu(dayparts, top=TOP_SHOWN)
        elif dayparts:
            console.show_daypart(dayparts[0])
        else:
            out.print(f"No daypart covers {at}.")
