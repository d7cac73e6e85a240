"""Requesting runs: a request creates a pending run of each kind, or joins the one that is pending already.

Requests that arrive while a run of the kind is running share one pending run (a partial unique index guarantees it).
A request with an id (a delivery) creates its runs once, however often it is repeated.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any, Literal

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from errors import BusyError
from store import totals
from store.database import transaction
from store.models import Delivery, Published, Run
from store.runs import CHANGING, JOINING

Sender = Literal["webhook", "api", "nightly"]  # delivery ids are unique per sender
MODES = ("incremental", "full", "train")  # each includes those before it
AS_OF_WAITING = 8  # pending runs of a kind with an explicit as_of


def request(
    session: Session,
    kinds: Sequence[str],
    *,
    mode: str = "full",
    as_of: datetime | None = None,
    named_ids: tuple[int, int] | None = None,
    needs: Mapping[str, Sequence[str]] = {},
    modes: Mapping[str, str] = {},
) -> list[Run]:
    """Create one pending run of each kind, or join the one that is pending already.

    `named_ids` is a closed range of transaction ids that an incremental run has to read. `needs` maps a kind to the
    kinds whose runs of this request its run waits for; `modes` maps kinds to a mode other than `mode`.

    Raises
    ------
    BusyError
        When the largest allowed number of runs with an `as_of` is pending already.
    """
    wanted = {kind: modes.get(kind, mode) for kind in sorted(set(kinds))}
    found = _joined(session, wanted, needs) if as_of is None and named_ids is None else {}
    if not found:
        for kind in wanted:  # always in the same order, against deadlocks
            session.execute(CHANGING, {"kind": kind})
        for kind in TopologicalSorter({kind: needs.get(kind, ()) for kind in wanted}).static_order():
            if kind in wanted:
                waits_for = {found[need].run_id for need in needs.get(kind, ()) if need in found}
                found[kind] = _request(session, kind, wanted[kind], as_of, named_ids, waits_for)
    return [found[kind] for kind in dict.fromkeys(kinds)]


def deliver(
    url: str,
    sender: Sender,
    delivery_id: str,
    body: dict[str, Any],
    kinds: Sequence[str],
    mode: str,
    *,
    as_of: datetime | None = None,
    named_ids: tuple[int, int] | None = None,
    needs: Mapping[str, Sequence[str]] = {},
    modes: Mapping[str, str] = {},
) -> list[Run]:
    """Request runs under a delivery id and commit; later calls with the same sender and id return the same runs.

    Of two concurrent calls the second to store the delivery is rolled back, and returns the runs of the first.
    """
    while True:
        with transaction(url) as session:
            found = _delivered(session, sender, delivery_id)
            if found is not None:
                totals.add(session, "deliveries", outcome="repeated")
                return found
            requested = request(session, kinds, mode=mode, as_of=as_of, named_ids=named_ids, needs=needs, modes=modes)
            stored = session.execute(
                insert(Delivery)
                .values(sender=sender, delivery_id=delivery_id, body=body, run_ids=[run.run_id for run in requested])
                .on_conflict_do_nothing()
                .returning(Delivery.delivery_id)
            ).first()
            if stored is not None:
                return requested
            session.rollback()


def _joined(session: Session, wanted: Mapping[str, str], needs: Mapping[str, Sequence[str]]) -> dict[str, Run]:
    """The pending runs of these kinds, if every kind has one that serves the request unchanged; else empty.

    The common case under load; it takes shared locks only.
    """
    savepoint = session.begin_nested()
    session.execute(JOINING, {"kinds": list(wanted)})
    found = {run.kind: run for run in session.scalars(_waiting(wanted))}  # the last of each kind
    serves = len(found) == len(wanted) and all(
        stronger(wanted[kind], run.mode) == run.mode
        and all(found[need].run_id in run.waits_for for need in needs.get(kind, ()) if need in found)
        for kind, run in found.items()
    )
    if not serves:
        savepoint.rollback()  # releases the locks: a shared lock can't become exclusive while others hold it
        return {}
    savepoint.commit()
    for run in found.values():
        run.joined = True
    return found


def _request(
    session: Session,
    kind: str,
    mode: str,
    as_of: datetime | None,
    named_ids: tuple[int, int] | None,
    waits_for: set[uuid.UUID],
) -> Run:
    named = [list(named_ids)] if named_ids else []
    if as_of is None:
        found = _to_join(session, kind, waits_for)
        if found is not None:
            found.mode = stronger(found.mode, mode)
            found.named_ids = merged([*found.named_ids, *named])
            found.waits_for = sorted({*found.waits_for, *waits_for})
            found.joined = True
            return found
    else:
        _check_room(session, kind)
    given = as_of is not None
    run = Run(
        kind=kind,
        mode="full" if given else mode,
        as_of=as_of,
        as_of_given=given,
        named_ids=named,
        waits_for=sorted(waits_for),
    )
    session.add(run)
    session.flush()
    return run


def _to_join(session: Session, kind: str, waits_for: set[uuid.UUID]) -> Run | None:
    """The kind's last pending run, unless joining would delay a run that is next to start.

    If each request could add a run that it waits for, a steady stream of requests would keep it from starting. So at
    most two of a kind are pending: the next one, and one behind it that all other requests join.
    """
    query = _waiting([kind]).with_for_update().execution_options(populate_existing=True)
    waiting = session.scalars(query).all()
    if not waiting or waits_for <= {*waiting[-1].waits_for}:
        return waiting[-1] if waiting else None
    works = session.scalars(select(Run.run_id).where(Run.kind == kind, Run.status == "running")).first() is not None
    return waiting[-1] if works or len(waiting) > 1 else None


def _check_room(session: Session, kind: str) -> None:
    query = select(func.count()).where(Run.kind == kind, Run.status == "pending", Run.as_of_given)
    if session.scalars(query).one() >= AS_OF_WAITING:
        raise BusyError(f"{AS_OF_WAITING} {kind} runs with an as_of wait already; ask again once some have ended.")


def _delivered(session: Session, sender: Sender, delivery_id: str) -> list[Run] | None:
    query = select(Delivery.run_ids).where(Delivery.sender == sender, Delivery.delivery_id == delivery_id)
    run_ids = session.scalars(query).first()
    if run_ids is None:
        return None
    found = {run.run_id: run for run in session.scalars(select(Run).where(Run.run_id.in_(run_ids)))}
    for run in found.values():
        run.joined = True
    return [found[run_id] for run_id in run_ids if run_id in found]


def stronger(one: str, other: str) -> str:
    """The mode that does what either does."""
    return max(one, other, key=MODES.index)


def merged(ranges: Iterable[Sequence[int]]) -> list[list[int]]:
    """The closed ranges' union, as the fewest closed ranges in order."""
    found: list[list[int]] = []
    for first, last in sorted((first, last) for first, last in ranges if first <= last):
        if found and first <= found[-1][1] + 1:
            found[-1][1] = max(found[-1][1], last)
        else:
            found.append([first, last])
    return found


def named_since(session: Session, run: Run, published: Published) -> list[list[int]]:
    """The transaction ids of this run's requests, and of runs that ended without a result since the published one."""
    last = select(Run.generation).where(Run.run_id == published.run_id).scalar_subquery()
    ended = select(Run.named_ids).where(
        Run.kind == run.kind, Run.generation > last, Run.generation < run.generation, Run.status != "succeeded"
    )
    return merged([*run.named_ids, *(each for named in session.scalars(ended) for each in named)])


def _waiting(kinds: Iterable[str]) -> Select[Run]:
    """The pending runs of these kinds without an explicit as_of, in the order of their requests."""
    query = select(Run).where(Run.kind.in_(kinds), Run.status == "pending", ~Run.as_of_given)
    return query.order_by(Run.generation)
