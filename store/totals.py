"""Totals that only rise, kept where the things they count are kept, so that no restart and no retention lowers them.

Each is added to in the transaction that it counts. Every label set is one row; rows of the two kinds of run are
apart, so runs never wait for each other here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.models import Part, Run, Total


def add(session: Session, name: str, amount: float = 1, **labels: str) -> None:
    """Add to a total."""
    row = insert(Total).values(name=name, labels=json.dumps(labels, sort_keys=True), value=amount)
    row = row.on_conflict_do_update(
        index_elements=[Total.name, Total.labels], set_={"value": Total.value + row.excluded.value}
    )
    session.execute(row)


def count_run(session: Session, run: Run) -> None:
    """Count a run that has just finished: its outcome, its time and its parts', and what it skipped."""
    add(session, "runs", kind=run.kind, mode=run.mode, outcome=run.status)
    if run.started_at is not None and run.finished_at is not None:
        seconds = (run.finished_at - run.started_at).total_seconds()
        add(session, "run_seconds", seconds, kind=run.kind, mode=run.mode)
    waited = func.sum(func.extract("epoch", Part.done_at - Part.sent_at))
    done = select(Part.stage, func.count(), waited).where(Part.run_id == run.run_id, Part.done_at.is_not(None))
    for stage, parts, part_seconds in session.execute(done.group_by(Part.stage).order_by(Part.stage)):
        add(session, "parts", parts, kind=run.kind, stage=stage)
        add(session, "part_seconds", float(part_seconds or 0), kind=run.kind, stage=stage)
    for name, number in sorted((run.counts or {}).items()):
        if name.startswith("skipped_") and number:
            add(session, "skipped_rows", number, kind=run.kind, rows=name.removeprefix("skipped_"))


def every(session: Session) -> Sequence[Total]:
    """All totals, in order."""
    return session.scalars(select(Total).order_by(Total.name, Total.labels)).all()
