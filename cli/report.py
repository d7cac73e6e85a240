"""`smartcrm report`: the dashboard's pages as one self-contained file."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click

from cli.app import cli, environment
from errors import RequestError


@cli.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def report(file: Path) -> None:
    """Write the dashboard's pages into one HTML FILE that needs no server.

    It shows what is published, loads nothing from anywhere, and only its owner may read it.
    """
    if file.suffix not in (".html", ".htm"):
        raise RequestError(f"{file} does not end in .html.")
    from logs import configure
    from reports.file import built

    configure(logging.WARNING)
    with environment(redis=False) as settings:
        document, pages = built(settings)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(descriptor, 0o600)  # for a file that existed before
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(document)
    except OSError as error:
        raise RequestError(f"{file} can't be written: {error.strerror or error}.") from None
    click.echo(f"{file} has {pages} pages, {len(document.encode()) // 1000:,} kB.")
