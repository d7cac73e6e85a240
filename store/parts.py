"""Claiming one part of a run: its work and its done mark commit together, or not at all.

A commit does not wait for the disk. What a crash of PostgreSQL takes is the last parts, each whole with its mark, and
they are done again; the commit of whoever goes on with the run waits, and with it all that was committed before.
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
    """A part that is ours until the transaction ends; what is put into `part.counts` is kept."""

    session: Session
    run: Run
    part: Part


class RunIsOver(Exception):
    """The run ended while the part was being worked on; the work is rolled back and nobody minds."""


@contextmanager
def claim(url: str, run_id: uuid.UUID, stage: str, number: int) -> Iterator[Claim | None]:
    """Lock a part for the time of its work.

    Yields None where there is nothing to do: the part is done, its run is not running, or another task has
    it right now (its lock says so, and a lock can't outlive its owner).
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
            # A run that was failed or cancelled meanwhile has dropped its tables: ours must not appear now.
            if (
                session.scalars(select(Run.status).where(Run.run_id == run_id).with_for_update(read=True)).one()
                != "running"
            ):
                raise RunIsOver
    except RunIsOver:
        return
