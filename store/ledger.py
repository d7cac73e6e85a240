"""The ledger: what each run read of the newest rows, by the keys of the results that the rows went into.

A row among the newest may change without being named. Whose it was before, or of which day, only its readers know: so
each part writes down the keys (customers, or business days) of the newest rows in its range, of the same snapshot that
its results come from. The next run of the kind computes these keys anew, whatever has become of their rows.

The rows of a run's ledger are there from its plan on, without keys. So a part that did not write its own, since an
older version did it, leaves a gap that can be seen, and the next run computes everything.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from store.database import driver
from store.models import Ledger, Part, Run


def begin(session: Session, run: Run, parts: Sequence[Part]) -> None:
    """Make the ledger of a run whose orders are read by these parts; what they will have read is not known yet."""
    if run.as_of_given:
        return  # the run after one with an `as_of` of its own is a full one
    session.add_all(Ledger(generation=run.generation, part=part.part, kind=run.kind) for part in parts)
    session.flush()


def entry(run: Run, part: Part, keys: sql.Composable) -> sql.Composed:
    """The statement that writes down what a part read: an expression of type text[], NULL where it is not known."""
    return sql.SQL("UPDATE analytics_ledger SET keys = {} WHERE generation = {} AND part = {}").format(
        keys, sql.Literal(run.generation), sql.Literal(part.part)
    )


def is_known(session: Session, generation: int) -> bool:
    """Whether every part of a run has written down what it read."""
    known = select(func.bool_and(Ledger.keys.is_not(None))).where(Ledger.generation == generation)
    return bool(session.scalars(known).one())


def keys(session: Session, generation: int | None) -> list[str]:
    """The keys of the newest rows as a run read them."""
    found = select(func.unnest(Ledger.keys)).where(Ledger.generation == generation).distinct()
    return list(session.scalars(found))


def keep_only(session: Session, run: Run) -> None:
    """Drop the ledgers of the kind's other runs: this one is published, and works alone."""
    session.execute(delete(Ledger).where(Ledger.kind == run.kind, Ledger.generation != run.generation))


def drop_ended(session: Session) -> None:
    """Drop the ledgers of runs that came to nothing."""
    ended = select(Run.generation).where(Run.status.in_(("failed", "cancelled")))
    session.execute(delete(Ledger).where(Ledger.generation.in_(ended)))


def forget(session: Session, kind: str, key: str) -> int:
    """Remove a key from all ledgers of a kind; returns from how many entries."""
    query = (
        "UPDATE analytics_ledger SET keys = array_remove(keys, %(key)s) WHERE kind = %(kind)s AND %(key)s = ANY (keys)"
    )
    return driver(session).execute(query, {"kind": kind, "key": key}).rowcount
