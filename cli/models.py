"""`smartcrm train` and `smartcrm models`: training, and the versions of the kinds' models."""

from __future__ import annotations

import click
from rich.table import Table

from cli import shapes
from cli.app import cli, environment
from cli.console import out
from cli.runs import follow
from cli.terminal import json_option, print_json
from kinds import KINDS, needs, requests
from store import inbox, versions
from store.database import transaction
from store.models import ModelVersion


@cli.command()
@click.argument("what", type=click.Choice([*KINDS, "all"]), default="all")
@click.option("--wait", is_flag=True, help="Show progress and fail if a run fails.")
@json_option
def train(what: str, wait: bool, as_json: bool) -> None:
    """Train models, compare each with the one in service, and compute results with the better one."""
    with environment() as settings:
        with transaction(settings.database_url) as session:
            trained = [name for name in requests.computed(session, settings) if KINDS[name].trains]
            wanted = requests.requested(session, settings, trained if what == "all" else [what], "train")
            requested = inbox.request(session, wanted, mode="train", needs=needs(wanted))
        follow(settings, requested, wait=wait, as_json=as_json)


@cli.command()
@click.argument("kind", type=click.Choice([*KINDS]), required=False)
@click.option("--rollback", type=click.Choice([*KINDS]), help="Put this kind's earlier version back in service.")
@click.option("--to", "version", type=int, help="With --rollback: the version's number (default: the one before).")
@json_option
def models(kind: str | None, rollback: str | None, version: int | None, as_json: bool) -> None:
    """Show versions of the models with their decisions, newest first, or roll back to an earlier one."""
    if version is not None and rollback is None:
        raise click.UsageError("--to needs --rollback KIND.")
    if rollback is None:
        with environment(redis=False) as settings, transaction(settings.database_url) as session:
            found = versions.newest(session, kind)
            print_json({"models": [shapes.model(each) for each in found]}) if as_json else _show(found)
        return
    with environment() as settings:
        with transaction(settings.database_url) as session:
            model = (
                versions.earlier(session, rollback)
                if version is None
                else versions.numbered(session, rollback, version)
            )
            run = requests.put_in_service(session, settings, model)
            restored = f"{model.kind} version {model.version} is in service."
        if not as_json:
            out.print(restored)
        follow(settings, [run], wait=False, as_json=as_json)


def _show(found: list[ModelVersion]) -> None:
    if not found:
        out.print("No model has been trained yet; smartcrm train requests it.")
        return
    table = Table("Kind", "Version", "Status", "Family", "Trained to", "Decision")
    for each in found:
        trained_to = f"{each.trained_to:%Y-%m-%d}"
        table.add_row(each.kind, str(each.version), each.status, each.family, trained_to, each.decision)
    out.print(table)
