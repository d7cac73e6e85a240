"""`smartcrm migrate`, `doctor` and `forget`: our tables, checks, and erasing a customer."""

from __future__ import annotations

import os

import click

from cli import console, shapes
from cli.app import cli, environment
from cli.console import counted, out
from cli.terminal import json_option, print_json
from errors import RequestError, SmartCRMError
from kinds import KINDS, requests, upkeep
from postgres import PUBLIC
from settings import from_files
from store import schema
from store.database import transaction


@cli.command()
@json_option
def migrate(as_json: bool) -> None:
    """Bring our tables to the current version."""
    with environment(redis=False, tables=False) as settings:
        version, ours = schema.migrate(settings.database_url), settings.results_schema != PUBLIC
        grants = {"grants": schema.grants(settings.database_url)} if ours else {}
        with transaction(settings.database_url) as session:
            computed = requests.computed(session, settings)
        if as_json:
            print_json({"version": version, "kinds": computed} | grants)
            return
        out.print(f"The tables are at version {version}.")
        others = [name for name in KINDS if name not in computed]
        if others and not settings.kinds:
            out.print(
                f"This database has runs of an earlier version, so only {' and '.join(computed)} are computed, as"
                f" before. To compute others, set KINDS; all are: {' '.join(KINDS)}.",
                soft_wrap=True,
            )
        for each in grants.values():
            out.print(f"To let a role read the results: {each}", soft_wrap=True)


@cli.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check databases, grants, indexes, Redis, time zone and secrets, and say how to fix each."""
    from cli.doctor import examine

    env = dict(from_files(os.environ))
    with environment(tables=False) as settings:
        findings = list(examine(settings, env))
    if as_json:
        print_json({"findings": [shapes.finding(each) for each in findings]})
    else:
        console.show_findings(findings)
    faults = sum(finding.level == "fault" for finding in findings)
    if faults:
        raise SmartCRMError(f"{counted(faults, 'fault')} to fix before runs can succeed.")


@cli.command()
@click.argument("mobile_id")
@json_option
def forget(mobile_id: str, as_json: bool) -> None:
    """Remove a customer from all our tables; the CRM has to remove the customer's orders first."""
    with environment(redis=False) as settings, transaction(settings.database_url) as session:
        removed = upkeep.forget(session, mobile_id)
    if not removed:
        raise RequestError(f"No stored row has the customer {mobile_id!r}.", code="customer_not_found")
    if as_json:
        print_json({"removed_rows": removed})
        return
    out.print(
        f"{counted(removed, 'row')} removed. The next run adds the customer again if the CRM still has their orders."
    )
