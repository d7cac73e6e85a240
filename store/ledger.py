"""The ledger: the keys (customers or business days) of the newest source rows that each run has read.

One of the newest rows may change or vanish without being named in a request. Its former customer or day can't be read
from the source then. So each part stores the keys of the newest rows in its range, from the same snapshot as its
results, and the next run of the kind recomputes these keys.

A run's ledger rows are created with its plan, without keys. If a part was done by an older version that stored no
keys, the row stays empty and the next run recomputes everything.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from store.database import driver
from store.models import Ledger, Part, Run


def begin(session: Session, run: Run, parts: Sequence[Part]) -> None:
    """Create the ledger rows of a run, one for each part that reads orders, without keys."""
    if run.as_of_given:
        return  # the run that follows one with an explicit as_of is always full
    session.add_all(Ledger(generation=run.generation, part=part.part, kind=run.kind) for part in parts)
    session.flush()


def entry(run: Run, part: Part, newest: sql.Composable) -> sql.Composed:
    """The statement that stores a query's row: a part's keys, NULL where not known, and the digest of the newest rows,
    NULL without one.
    """
    return sql.SQL("UPDATE analytics_ledger SET (keys, digest) = ({}) WHERE generation = {} AND part = {}").format(
        newest, sql.Literal(run.generation), sql.Literal(part.part)
    )


def save(session: Session, run: Run, part: Part, row: Sequence[object] | None) -> None:
    """Store such a row that was read from the CRM's database."""
    driver(session).execute(entry(run, part, values(row)))


def values(row: Sequence[object] | None) -> sql.Composed:
    """A query for such a row."""
    keys, digest = row or (None, None)
    return sql.SQL("SELECT {}::text[], {}::text").format(sql.Literal(keys), sql.Literal(digest))


def is_known(session: Session, generation: int) -> bool:
    """Whether every part of a run has stored its keys."""
    known = select(func.bool_and(Ledger.keys.is_not(None))).where(Ledger.generation == generation)
    return bool(session.scalars(known).one())


def keys(session: Session, generation: int | None) -> list[str]:
    """The keys of the newest rows that a run has read."""
    found = select(func.unnest(Ledger.keys)).where(Ledger.generation == generation).distinct()
    return list(session.scalars(found))


def digests(session: Session, generation: int | None) -> list[str] | None:
    """The digests of the newest rows that a run has read, of each part; None if a part has none."""
    found = list(session.scalars(select(Ledger.digest).where(Ledger.generation == generation)))
    return [each for each in found if each is not None] if found and None not in found else None


def keep_only(session: Session, run: Run) -> None:
    """Delete the ledgers of the kind's other runs; this run is published, and no other one is running."""
    session.execute(delete(Ledger).where(Ledger.kind == run.kind, Ledger.generation != run.generation))


def drop_ended(session: Session) -> None:
    """Delete the ledgers of failed and cancelled runs."""
    ended = select(Run.generation).where(Run.status.in_(("failed", "cancelled")))
    session.execute(delete(Ledger).where(Ledger.generation.in_(ended)))


def forget(session: Session, kind: str, key: str) -> int:
    """Remove a key from all ledgers of a kind; returns the number of changed rows."""
    query = (
        "UPDATE analytics_ledger SET keys = array_remove(keys, %(key)s) WHERE kind = %(kind)s AND %(key)s = ANY (keys)"
    )
    return driver(session).execute(query, {"kind": kind, "key": key}).rowcount
