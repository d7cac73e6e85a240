"""Claiming one part of a run: its rows and its done mark are committed in one transaction.

These commits are asynchronous (synchronous_commit = off). A crash of PostgreSQL may lose the last parts, each with
its mark, and they are done again. The next step of the run commits synchronously, which flushes them to disk as well.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import runs
from store.database import driver, transaction
from store.models import Part, Run


@dataclass(frozen=True)
class Claim:
    """A part that is locked until the transaction ends; the caller may set `part.counts`."""

    session: Session
    run: Run
    part: Part


class RunIsOver(Exception):
    """The run ended while the part was being worked on; the work is rolled back."""


@contextmanager
def claim(url: str, run_id: uuid.UUID, stage: str, number: int) -> Iterator[Claim | None]:
    """Lock a part while it is worked on.

    Yields None when there is nothing to do: the part is done, its run is not running, or another task holds its lock.
    """
    try:
        with transaction(url) as session:
            driver(session).execute("SET LOCAL synchronous_commit = off")
            run = session.get(Run, run_id)
            part = session.scalars(
                select(Part)
                .where(Part.run_id == run_id, Part.stage == stage, Part.part == number)
                .with_for_update(skip_locked=True)
            ).first()
            if run is None or run.status != "running" or part is None or part.done_at or part.error_code:
                yield None
                return
            yield Claim(session, run, part)
            part.done_at, part.error = runs.now(session), None
            session.flush()
            # A run that failed or was cancelled meanwhile has dropped its tables; this part must not leave new ones.
            if (
                session.scalars(select(Run.status).where(Run.run_id == run_id).with_for_update(read=True)).one()
                != "running"
            ):
                raise RunIsOver
    except RunIsOver:
        return
