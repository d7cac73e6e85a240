"""Upkeep of all kinds' tables: removing leftovers, retention, and erasing a customer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import psycopg
from psycopg import sql
from sqlalchemy import select
from sqlalchemy.orm import Session

import kinds
from errors import RequestError
from store import ledger, mails, publishing, retention, totals
from store.database import driver, transaction
from store.models import Run

LOCK_WAIT = "100ms"


def clear(url: str) -> None:
    """Remove staging, unpublished results and retired generations that no run and no reader needs.

    Dropping a generation needs a short exclusive lock on its parent. It waits for it only briefly, so that readers are
    not blocked, and otherwise leaves the generation to the next call.
    """
    with transaction(url) as session:
        steps = [step for kind in kinds.every() for step in kind.unneeded(session)]
        retired = publishing.retired(session)
    steps += [ledger.drop_ended]
    steps += [partial(_drop_retired, kind=kind, generation=generation) for generation, kind in retired]
    for step in steps:
        _briefly_locked(url, step)


def index(url: str) -> None:
    """Add the indexes that published results lack, as after a full run.

    An index keeps writers of its rows waiting; it is left to the next call if a run is writing them now.
    """
    with transaction(url) as session:
        steps = [step for kind in kinds.every() for step in kind.unindexed(session)]
    for step in steps:
        # Another process has dropped the generation, or has added the same index.
        with suppress(psycopg.errors.UndefinedTable, psycopg.errors.UniqueViolation):
            _briefly_locked(url, step)


def _briefly_locked(url: str, step: Callable[[Session], None]) -> None:
    with suppress(psycopg.errors.LockNotAvailable), transaction(url) as session:
        driver(session).execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_WAIT)))
        step(session)


def _drop_retired(session: Session, kind: str, generation: int) -> None:
    if publishing.forget_retired(session, generation):
        kinds.get(kind).discard(session, [generation])


def drop_old(session: Session) -> None:
    """Delete old deliveries, events, runs and mails, and the kinds' own history."""
    for kind in kinds.every():
        kind.drop_old(session)
    retention.drop_old(session, [kind.writers for kind in kinds.every()])
    mails.drop_old(session)


def forget(session: Session, mobile_id: str) -> int:
    """Remove a customer from all our tables; returns the number of rows.

    The orders are the CRM's: as long as it has orders of this customer, the next run adds the customer again.

    Raises
    ------
    RequestError
        While a run of customers is running, since it may have read this customer's orders already.
    """
    holders = [kind for kind in kinds.every() if kind.holds_customers]
    if _works(session, [kind.name for kind in holders]):
        raise RequestError("Segments are being computed right now; ask again once that run has ended.")
    removed = sum(kind.forget(session, mobile_id) for kind in holders)
    if removed:
        totals.add(session, "forgotten")
    return removed


def _works(session: Session, names: Sequence[str]) -> bool:
    query = select(Run.run_id).where(Run.kind.in_(names), Run.status == "running").limit(1)
    return session.scalars(query).first() is not None
