"""Counters for monitoring, stored in PostgreSQL, so that no restart and no retention lowers them.

Each is incremented in the transaction that it counts. Every label set is one row, and runs of different kinds have
different labels, so they don't wait for each other's row locks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.database import driver
from store.models import Delivery, Part, Run, Total


def add(session: Session, name: str, amount: float = 1, **labels: str) -> None:
    """Add to a counter."""
    _add(session, [(name, labels, amount)])


def _add(session: Session, amounts: Iterable[tuple[str, Mapping[str, str], float]]) -> None:
    """Add to counters, which are all different."""
    rows = [
        {"name": name, "labels": json.dumps(labels, sort_keys=True), "value": amount}
        for name, labels, amount in amounts
    ]
    added = insert(Total).values(rows)
    session.execute(
        added.on_conflict_do_update(
            index_elements=[Total.name, Total.labels], set_={"value": Total.value + added.excluded.value}
        )
    )


def count_run(session: Session, run: Run) -> None:
    """Count a finished run: its outcome, its duration and its parts', and the rows that it skipped."""
    found: list[tuple[str, dict[str, str], float]] = []
    of_mode = {"kind": run.kind, "mode": run.mode}
    found.append(("runs", of_mode | {"outcome": run.status}, 1))
    if run.started_at is not None and run.finished_at is not None:
        found.append(("run_seconds", of_mode, (run.finished_at - run.started_at).total_seconds()))
    waited = func.sum(func.extract("epoch", Part.done_at - Part.sent_at))
    done = select(Part.stage, func.count(), waited).where(Part.run_id == run.run_id, Part.done_at.is_not(None))
    for stage, parts, part_seconds in session.execute(done.group_by(Part.stage).order_by(Part.stage)):
        of_stage = {"kind": run.kind, "stage": stage}
        found += [("parts", of_stage, parts), ("part_seconds", of_stage, float(part_seconds or 0))]
    for name, number in sorted((run.counts or {}).items()):
        if (name.startswith("skipped_") or name == "future_transactions") and number:
            found.append(("skipped_rows", {"kind": run.kind, "rows": name.removeprefix("skipped_")}, number))
    _add(session, found)


def drop_deliveries(session: Session, kept: timedelta) -> None:
    """Delete deliveries older than this and add them to their counter.

    `every` counts the stored ones, so that concurrent deliveries don't wait for the counter's row.
    """
    dropped = driver(session).execute("DELETE FROM analytics_deliveries WHERE received_at < now() - %s", [kept])
    if dropped.rowcount:
        add(session, "deliveries", dropped.rowcount, outcome="accepted")


def every(session: Session) -> list[tuple[str, dict[str, str], float]]:
    """All counters as name, labels, value; entries with the same name and labels have to be summed."""
    kept = session.scalar(select(func.count()).select_from(Delivery)) or 0
    found = session.scalars(select(Total).order_by(Total.name, Total.labels))
    return [
        *((total.name, json.loads(total.labels), total.value) for total in found),
        ("deliveries", {"outcome": "accepted"}, kept),
    ]
