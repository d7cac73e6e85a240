"""`smartcrm segments` and `smartcrm menu`: the published results, on the screen or in a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time as clock
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from analytics.segments import load_map, template
from cli import console, exports, shapes, tables
from cli.app import cli, environment
from cli.console import counted, out
from cli.terminal import json_option, print_json
from errors import RequestError
from kinds.menu import results as menu_results
from kinds.menu.matrix import menu_matrix
from kinds.menu.results import RankedDaypart
from kinds.menu.weekdays import DAYS
from kinds.rfm import results as rfm_results
from kinds.rfm.preview import preview
from kinds.rfm.ties import warnings
from store.database import snapshot
from store.published import PublishedState, published

SHOWN_CUSTOMERS = 50
TOP_SHOWN = 5


@cli.command()
@click.option("--segment", help="Only this segment, customer by customer.")
@click.option("--export", type=click.Path(path_type=Path, dir_okay=False), help="Write to a .csv or .parquet file.")
@click.option("--preview", "map_file", help="Who would be where under this segment map; publishes nothing.")
@exports.for_excel_option
@json_option
def segments(segment: str | None, export: Path | None, map_file: str | None, for_excel: bool, as_json: bool) -> None:
    """The published segments: a summary, one segment's customers, or all of them into a file."""
    if map_file is not None and (segment is not None or export):
        raise click.UsageError("--preview goes with neither --segment nor --export.")
    exports.check_target(export, for_excel=for_excel)
    with environment(redis=False) as settings, snapshot(settings.database_url) as session:
        state = published(session, "rfm")
        if state is None:
            raise RequestError("No segments are published yet; smartcrm recompute computes them.", code="no_results")
        if map_file is not None:
            _preview(session, state, map_file, as_json)
            return
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
                print_json(shapes.summary(state, summary, warnings(session, state)))
            else:
                tables.show_summary(summary, rfm_results.cut_points(state), warnings(session, state))
        elif as_json:
            print_json(shapes.customers(state, rfm_results.segments(session, segment)))
        else:
            customers = rfm_results.segments(session, segment, limit=SHOWN_CUSTOMERS + 1)
            console.show_customers(customers[:SHOWN_CUSTOMERS], more=len(customers) > SHOWN_CUSTOMERS)


def _preview(session: Session, state: PublishedState, map_file: str, as_json: bool) -> None:
    found = preview(session, state, load_map(template(map_file) or Path(map_file), "--preview"))
    if as_json:
        print_json(shapes.preview(state, found))
    else:
        tables.show_preview(found)


def _export(rows: Sequence[Any], path: Path, for_excel: bool) -> int:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(rfm_results.SEGMENT_COLUMNS)).astype({"run_id": str})
    exports.write(frame, path, for_excel=for_excel)
    return len(frame)


@cli.command()
@click.option("--at", help="Only the daypart that covers this time of day, HH:MM.")
@click.option(
    "--day", type=click.Choice([*DAYS]), help="Only orders of weekdays, of weekends, or of one day (1 Monday)."
)
@click.option("--matrix", is_flag=True, help="Popularity beside margin: stars, plough-horses, puzzles and dogs.")
@json_option
def menu(at: str | None, day: str | None, matrix: bool, as_json: bool) -> None:
    """The published menu rankings, by daypart."""
    if matrix and day:
        raise click.UsageError("--matrix goes without --day.")
    try:
        moment = clock.fromisoformat(at) if at else None
    except ValueError:
        raise RequestError(f"--at is {at!r}, which is not a time of day such as 12:30.") from None
    with environment(redis=False) as settings, snapshot(settings.database_url) as session:
        state = published(session, "menu")
        if state is None:
            raise RequestError("No menu is published yet; smartcrm recompute computes it.", code="no_results")
        dayparts = menu_results.menu(session, moment, day)
        if matrix and dayparts:
            _matrix(session, state, dayparts, as_json)
            return
        if as_json:
            one = moment is not None
            print_json(shapes.daypart(next(iter(dayparts), None)) if one else shapes.menu(state, dayparts))
        elif moment is None:
            console.show_menu(dayparts, top=TOP_SHOWN)
        elif dayparts:
            console.show_daypart(dayparts[0])
        else:
            out.print(f"No daypart covers {at}.")


def _matrix(session: Session, state: PublishedState, dayparts: Sequence[RankedDaypart], as_json: bool) -> None:
    found = menu_matrix(session, state, [daypart.daytime_id for daypart in dayparts])
    if as_json:
        print_json(shapes.matrix(state, found, dayparts[0].daytime_id if len(dayparts) == 1 else None))
    else:
        tables.show_matrix(found)
