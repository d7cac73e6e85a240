"""`smartcrm clusters`: showing the clusters, renaming one, and exporting their customers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from rich.table import Table
from sqlalchemy.orm import Session

from cli import exports
from cli.app import cli, environment
from cli.console import counted, out
from cli.predictions import too_little
from cli.terminal import json_option, print_json
from errors import RequestError
from kinds.clusters import results
from store.database import transaction
from store.published import published


@cli.command()
@click.option("--rename", nargs=2, metavar="ID NAME", help="Give a cluster another name, kept across trainings.")
@click.option("--export", type=click.Path(path_type=Path, dir_okay=False), help="Write to a .csv or .parquet file.")
@exports.for_excel_option
@json_option
def clusters(rename: tuple[str, str] | None, export: Path | None, for_excel: bool, as_json: bool) -> None:
    """Show the published clusters, rename one, or write every customer's cluster to a file."""
    exports.check_target(export, for_excel=for_excel)
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        state = published(session, "clusters")
        if state is None:
            asked = "smartcrm recompute clusters"
            raise RequestError(f"No clusters are published yet; ask for them with {asked}.", code="no_results")
        lacking = results.too_little_data(state)
        if lacking is not None:
            print_json({"status": "too_little_data"} | lacking) if as_json else out.print(too_little(lacking))
            return
        if rename:
            number, name = rename
            if not number.isdecimal():
                raise RequestError(f"--rename needs a cluster's number and a name; {number!r} is no number.")
            results.rename(session, int(number), name)
        if export:
            rows = _export(session, export, for_excel)
            print_json({"file": str(export), "rows": rows}) if as_json else out.print(
                f"{counted(rows, 'customer')} into {export}"
            )
        elif as_json:
            shape = {"run_id": state.run.run_id, "as_of": state.as_of, "unclustered": results.unclustered(session)}
            print_json(shape | {"clusters": [dict(row._mapping) for row in results.profiles(session)]})
        else:
            _show(session)


def story(session: Session) -> Iterator[str]:
    """The clusters in two lines; no lines if they are not computed."""
    state = published(session, "clusters")
    if state is None:
        return
    lacking = results.too_little_data(state)
    if lacking is not None:
        yield f"Clusters: {too_little(lacking)}"
        return
    found = sorted(results.profiles(session), key=lambda row: -row.customers)
    largest = found[0]
    yield f"Clusters: {len(found)}, stability {largest.stability:.2f}. Largest: {largest.name} ({largest.share:.0%})."
    yield "Others: " + "; ".join(f"{row.name} ({row.share:.0%})" for row in found[1:])


def _export(session: Session, path: Path, for_excel: bool) -> int:
    import pandas as pd

    rows = results.customers(session)
    frame = pd.DataFrame(rows, columns=list(results.CLUSTER_COLUMNS)).astype({"run_id": str, "cluster_id": "Int64"})
    exports.write(frame, path, for_excel=for_excel)
    return len(frame)


def _show(session: Session) -> None:
    table = Table("Id", "Name", "Customers", "Share", "What sets them apart")
    found = results.profiles(session)
    for row in found:
        table.add_row(str(row.cluster_id), row.name, f"{row.customers:,}", f"{row.share:.1%}", row.description)
    out.print(table)
    alone = counted(results.unclustered(session), "customer")
    out.print(f"{alone} came once and are in none. Stability {found[0].stability:.2f}." if found else alone)
