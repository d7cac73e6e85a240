"""`smartcrm history`: past states of the segments, day by day, into `segment_history`."""

from __future__ import annotations

import time
from datetime import date, timedelta
from typing import Any

import click

from cli.app import cli, environment
from cli.console import counted, err, out
from cli.terminal import json_option, print_json
from errors import RequestError
from kinds.rfm import history as past
from settings import Settings
from source.window import business_date_of
from store import runs
from store.database import transaction

LOOK_AGAIN = 1.0  # seconds, while other runs go first
STEPS = {"day": 1, "week": 7}


@cli.command()
@click.option("--since", required=True, help="The first business date, such as 2025-01-31.")
@click.option("--every", type=click.Choice([*STEPS]), default="day", show_default=True)
@json_option
def history(since: str, every: str, as_json: bool) -> None:
    """Compute the segments of past days into segment_history, up to yesterday; publishes nothing.

    Days that are known are left as they are, so that it may be stopped and asked again. Runs go first.
    """
    try:
        first = date.fromisoformat(since)
    except ValueError:
        raise RequestError(f"--since is {since!r}, which is no date such as 2025-01-31.") from None
    with environment(redis=False) as settings:
        wanted = _days(settings, first, STEPS[every])
        known = _known(settings)
        missing = [day for day in wanted if day not in known]
        done = [_compute(settings, day, quiet=as_json) for day in missing]
    if as_json:
        print_json({"days": done, "known_days": len(wanted) - len(missing)})
    else:
        out.print(f"{counted(len(done), 'day')} computed, {counted(len(wanted) - len(missing), 'day')} known before.")


def _days(settings: Settings, first: date, step: int) -> list[date]:
    """The days from the requested one, or that of the first order, in steps, up to yesterday."""
    with transaction(settings.database_url) as session:
        today = business_date_of(runs.now(session), settings.timezone, settings.business_day_start)
    if first >= today:
        raise RequestError(f"--since is {first}, and the last day that is over is {today - timedelta(days=1)}.")
    ordered = past.first_day(settings)
    if ordered is None:
        raise RequestError("There are no orders of known customers.", code="no_results")
    days = [first + timedelta(days=place) for place in range(0, (today - first).days, step)]
    return [day for day in days if day >= ordered - timedelta(days=1)]


def _known(settings: Settings) -> set[date]:
    with transaction(settings.database_url) as session:
        return past.known_days(session)


def _compute(settings: Settings, day: date, *, quiet: bool) -> dict[str, Any]:
    _wait_for_runs(settings, quiet=quiet)
    with transaction(settings.database_url) as session:
        segments = past.compute(session, settings, day)
    if not quiet:
        out.print(f"{day}  {counted(segments, 'segment')}")
    return {"business_date": day.isoformat(), "segments": segments}


def _wait_for_runs(settings: Settings, *, quiet: bool) -> None:
    said = quiet
    while True:
        with transaction(settings.database_url) as session:
            if not past.unfinished_runs(session):
                return
        if not said:
            err.print("Waiting for runs, which go first.")
            said = True
        time.sleep(LOOK_AGAIN)
