"""How fresh what is published is: results that are older than a day, and kinds whose last run has failed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from store.models import Run
from store.published import PublishedState

OLD_AFTER = timedelta(days=1)


def is_old(state: PublishedState | None, now: datetime) -> bool:
    """Whether there are results and they are older than a day."""
    return state is not None and now - state.as_of > OLD_AFTER


@dataclass(frozen=True)
class Freshness:
    """Results that are old, and the last run of each kind whose last run has failed."""

    old: list[PublishedState]
    failed: list[Run]


def freshness(session: Session, states: Mapping[str, PublishedState | None], now: datetime) -> Freshness:
    """How fresh the results of these kinds are."""
    return Freshness(
        [state for state in states.values() if state is not None and is_old(state, now)],
        [run for run in _newest_failed(session, states) if not _published_after(states[run.kind], run)],
    )


def _newest_failed(session: Session, kinds: Collection[str]) -> list[Run]:
    """Of each kind the newest failed run, in the order of the kinds."""
    query = select(Run).where(Run.kind.in_(kinds), Run.status == "failed").ext(distinct_on(Run.kind))
    found = session.scalars(query.order_by(Run.kind, Run.requested_at.desc(), Run.generation.desc()))
    newest = {run.kind: run for run in found}
    return [newest[kind] for kind in kinds if kind in newest]


def _published_after(state: PublishedState | None, failed: Run) -> bool:
    """Whether results were published after a run had failed."""
    published_at = state.run.finished_at if state is not None else None
    return published_at is not None and failed.finished_at is not None and failed.finished_at <= published_at
