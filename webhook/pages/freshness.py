"""How fresh what is published is: results that are older than a day, and kinds whose last run has failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from store import runs
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
        [run for name, state in states.items() if (run := _failed(session, name, state)) is not None],
    )


def _failed(session: Session, kind: str, state: PublishedState | None) -> Run | None:
    """The kind's newest failed run, unless results were published after it."""
    newest = next(iter(runs.newest(session, kind=kind, status="failed", limit=1)), None)
    if newest is None:
        return None
    published_at = state.run.finished_at if state is not None else None
    failed_at = newest.run.finished_at
    late = published_at is not None and failed_at is not None and failed_at <= published_at
    return None if late else newest.run
