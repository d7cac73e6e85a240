"""A kind for tests only: each customer's share of all spending.

ranges of customers ─► spent ─► total ─► share, per range ─► publish
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from psycopg import sql
from sqlalchemy.orm import Session

from errors import RequestError
from kinds.base import Counts, Draft, Kind, Stage, summed
from settings import Settings
from source import orders, reading, touched
from source.ranges import key_ranges
from source.window import in_window, key_range
from store import ledger, progress, publishing, versions
from store.database import driver
from store.models import ModelVersion, Part, Run
from store.parts import Claim

TABLES = """
CREATE TABLE toy_spent (generation bigint, mobile_id text, cents bigint, PRIMARY KEY (generation, mobile_id));
CREATE TABLE toy_shares (generation bigint, mobile_id text, share numeric, PRIMARY KEY (generation, mobile_id));
CREATE VIEW toy AS
  SELECT mobile_id, share FROM toy_shares JOIN analytics_published USING (generation) WHERE kind = 'toy';
"""
DIES_ONCE = "TOY_DIES_ONCE"  # names a file; the process that makes it is killed in the middle of its part


def spent(settings: Settings, claimed: Claim) -> Counts:
    """Store what each of the part's customers spent."""
    run, part = claimed.run, claimed.part
    assert run.plan is not None
    with orders.snapshot(settings.source_database_url, run.plan) as crm:
        ledger.save(claimed.session, run, part, crm.execute(touched.newest_customers(run.plan, part)).fetchone())
        whose: sql.Composable = key_range(sql.Identifier("mobile_id"), part, "text")
        if run.mode == "incremental" and not run.plan["recompute_all"]:
            before = ledger.keys(claimed.session, run.plan["since"]["ledger"])
            whose = sql.SQL("mobile_id = ANY({})").format(sql.Literal([*touched.customers(crm, run.plan), *before]))
        query = sql.SQL(
            "SELECT mobile_id, sum(100 * total_amount)::bigint FROM fact_transactions WHERE {} AND {} GROUP BY 1"
        ).format(whose, in_window(run.plan))
        rows = crm.execute(query).fetchall()
    for mobile_id, cents in rows:
        driver(claimed.session).execute("INSERT INTO toy_spent VALUES (%s, %s, %s)", [run.generation, mobile_id, cents])
    _die_once(part)
    return {"customers": len(rows), "cents": sum(cents for _, cents in rows)}


def _die_once(part: Part) -> None:
    mark = os.environ.get(DIES_ONCE)
    if mark and part.part == 1 and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)


def total(session: Session, settings: Settings, run: Run) -> None:
    """The step between the stages: the sum over all customers."""
    if not run.counts:
        run.counts = summed(progress.parts(session, run, "spent"))
        session.flush()


def share(settings: Settings, claimed: Claim) -> Counts:
    """Store the share of each of the part's customers."""
    run = claimed.run
    assert run.counts is not None
    query = sql.SQL(
        "INSERT INTO toy_shares SELECT generation, mobile_id, cents::numeric / {} FROM toy_spent"
        " WHERE generation = {} AND {}"
    ).format(
        sql.Literal(run.counts["cents"]),
        sql.Literal(run.generation),
        key_range(sql.Identifier("mobile_id"), claimed.part, "text"),
    )
    return {"shares": driver(claimed.session).execute(query).rowcount}


class Toy(Kind):
    """Shares of what was spent."""

    name = "toy"
    stages = (Stage("spent", spent), Stage("share", share, before=total))
    holds_customers = True

    def plan(self, settings: Settings, crm: reading.Connection) -> dict[str, Any]:
        return {"lookback_days": 0}

    def parts(self, draft: Draft) -> list[Part]:
        ranges = key_ranges(draft.crm, "mobile_id", 3, indexed=True)
        return [
            Part(run_id=draft.run.run_id, stage=stage.name, part=number, lower=lower, upper=upper)
            for stage in self.stages
            for number, (lower, upper) in enumerate(ranges)
        ]

    def refresh(self, draft: Draft) -> list[Part]:
        return [Part(run_id=draft.run.run_id, stage="spent", part=0)]

    def prepare(self, session: Session, run: Run, parts: Sequence[Part]) -> None:
        ledger.begin(session, run, [part for part in parts if part.stage == "spent"])

    def publish(self, session: Session, settings: Settings, run: Run) -> None:
        publishing.name_current(session, run, run.generation)

    def merge(self, session: Session, settings: Settings, run: Run) -> None:
        assert run.plan is not None
        names = {"mine": run.generation, "current": run.plan["since"]["generation"]}
        for statement in (
            "DELETE FROM toy_spent WHERE generation = %(current)s"
            " AND mobile_id IN (SELECT mobile_id FROM toy_spent WHERE generation = %(mine)s)",
            "UPDATE toy_spent SET generation = %(current)s WHERE generation = %(mine)s",
            "DELETE FROM toy_shares WHERE generation = %(current)s",
            "INSERT INTO toy_shares SELECT generation, mobile_id, cents / sum(cents) OVER () FROM toy_spent"
            " WHERE generation = %(current)s",
        ):
            driver(session).execute(statement, names)
        run.counts = progress.part_counts(session, run, "spent", 0)
        publishing.name_current(session, run, names["current"])

    def discard(self, session: Session, generations: Sequence[int]) -> None:
        for table in ("toy_spent", "toy_shares"):
            query = sql.SQL("DELETE FROM {} WHERE generation = ANY(%s)").format(sql.Identifier(table))
            driver(session).execute(query, [list(generations)])

    def forget(self, session: Session, mobile_id: str) -> int:
        removed = 0
        for table in ("toy_spent", "toy_shares"):
            query = sql.SQL("DELETE FROM {} WHERE mobile_id = %s").format(sql.Identifier(table))
            removed += driver(session).execute(query, [mobile_id]).rowcount
        return removed


def fit(settings: Settings, claimed: Claim) -> Counts:
    """Count the shares; a training run makes a version of it and of the toy run that it read."""
    session, run = claimed.session, claimed.run
    (customers,) = driver(session).execute("SELECT count(*) FROM toy").fetchone() or (0,)
    if run.mode == "train":
        assert run.plan is not None and run.as_of is not None
        before = versions.champion(session, run.kind)
        better = before is None or before.params["customers"] != customers
        found = versions.add(
            session,
            run,
            versions.Trained(
                family="count",
                params={"customers": customers},
                trained_from=None,
                trained_to=run.as_of,
                seed=0,
                data_fingerprint=str(customers),
                code_version="1",
                metrics={},
                decision="More customers." if better else "As many customers as before.",
            ),
            better=better,
        )
        run.plan = run.plan | {"champion": found.version if better or before is None else before.version}
    return {"customers": customers}


class Guess(Kind):
    """A kind with a model, which reads the toy's results."""

    name = "guess"
    stages = (Stage("fit", fit),)

    def plan(self, settings: Settings, crm: reading.Connection) -> dict[str, Any]:
        return {"lookback_days": 0}

    def parts(self, draft: Draft) -> list[Part]:
        return [Part(run_id=draft.run.run_id, stage="fit", part=0)]

    def publish(self, session: Session, settings: Settings, run: Run) -> None:
        run.counts = progress.part_counts(session, run, "fit", 0)
        publishing.name_current(session, run, run.generation)

    def discard(self, session: Session, generations: Sequence[int]) -> None:
        pass

    def check_version(self, session: Session, model: ModelVersion) -> None:
        if model.params["customers"] == 0:
            raise RequestError("Version 1 counted nobody.", code="model_unusable")
