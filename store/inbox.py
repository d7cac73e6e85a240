"""Asking for runs: a request makes a run of each kind, or joins the one that waits and has read nothing yet.

Requests that come while a run of the kind works share the one that waits (a partial unique index holds it). A request
that has a name of its own (a delivery) asks once, however often it comes.
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

Sender = Literal["webhook", "api", "nightly"]  # each names its requests as it likes
MODES = ("incremental", "full", "train")  # each does what those before it do
AS_OF_WAITING = 8  # runs of a kind with an as_of of their own


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
    """Ask for one run of each kind, or join the one that already waits and has read nothing yet.

    `named_ids` is a closed range of transaction ids that an incremental run has to look at, whatever else. `needs`
    names the kinds whose runs of this request a kind's run waits for, `modes` the kinds whose mode is another one.

    Raises
    ------
    RequestError
        For a kind that there is not.
    BusyError
        Where as many runs with an `as_of` wait already as may.
    """
    wanted = {kind: modes.get(kind, mode) for kind in sorted(set(kinds))}
    found = _joined(session, wanted, needs) if as_of is None and named_ids is None else {}
    if not found:
        for kind in wanted:  # always in the same order, so that two requests never wait for each other
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
    """Ask for runs under a sender's name for them, committed; every later call with both answers the same runs.

    Of two calls at once the one whose delivery is there first has asked; the other one's request is undone.
    """
    while True:
        with transaction(url) as session:
            found = _delivered(session, sender, delivery_id)
            if found is not None:
                totals.add(session, "deliveries", outcome="repeated")
                return found
            asked = request(session, kinds, mode=mode, as_of=as_of, named_ids=named_ids, needs=needs, modes=modes)
            stored = session.execute(
                insert(Delivery)
                .values(sender=sender, delivery_id=delivery_id, body=body, run_ids=[run.run_id for run in asked])
                .on_conflict_do_nothing()
                .returning(Delivery.delivery_id)
            ).first()
            if stored is not None:
                return asked
            session.rollback()


def _joined(session: Session, wanted: Mapping[str, str], needs: Mapping[str, Sequence[str]]) -> dict[str, Run]:
    """The waiting runs of these kinds, where all of them wait and serve as they are: the way of a busy time."""
    savepoint = session.begin_nested()
    session.execute(JOINING, {"kinds": list(wanted)})
    found = {run.kind: run for run in session.scalars(_waiting(wanted))}  # the last of each kind
    serves = len(found) == len(wanted) and all(
        stronger(wanted[kind], run.mode) == run.mode
        and all(found[need].run_id in run.waits_for for need in needs.get(kind, ()) if need in found)
        for kind, run in found.items()
    )
    if not serves:
        savepoint.rollback()  # and with it the locks, which can't be made exclusive while others share them
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
    """The kind's last waiting run, unless the request would put off a run that is next to start.

    Were that one to wait for one more run with each request, a steady stream of requests would keep it from starting.
    So at most two of a kind wait: the next one, and one behind it that takes in all others.
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
    """The ids that were named to this run, and to those of its kind that ended without a result since the last one."""
    last = select(Run.generation).where(Run.run_id == published.run_id).scalar_subquery()
    ended = select(Run.named_ids).where(
        Run.kind == run.kind, Run.generation > last, Run.generation < run.generation, Run.status != "succeeded"
    )
    return merged([*run.named_ids, *(each for named in session.scalars(ended) for each in named)])


def _waiting(kinds: Iterable[str]) -> Select[Run]:
    """The waiting runs of these kinds, in order of asking."""
    query = select(Run).where(Run.kind.in_(kinds), Run.status == "pending", ~Run.as_of_given)
    return query.order_by(Run.generation)
