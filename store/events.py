"""Outgoing events: one message per finished run and receiver, kept until it is delivered or given up.

The wait until the next attempt is committed before each attempt. So an attempt that dies with its process is
made again after that wait, under the same `webhook-id`, and no lock is held while a receiver thinks.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from store import runs, totals
from store.models import Event, Run

MINUTE = 60
HOUR = 60 * MINUTE
# Seconds before the next attempt, each with up to a fifth more or less; together a day.
WAITS = (5, 30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 8 * HOUR)


@dataclass(frozen=True)
class Message:
    """What is to be posted where."""

    event_id: uuid.UUID
    url: str
    body: str


def record(session: Session, run: Run, urls: Sequence[str], published: Mapping[str, Any]) -> None:
    """Write down the events of a run that has just finished, in the transaction that finishes it.

    `published` is what they say of the published results beside the run.
    """
    now = runs.now(session)
    body = {
        "type": f"run.{run.status}",
        "timestamp": now.astimezone(UTC).isoformat(),
        "data": {
            "run_id": str(run.run_id),
            "kind": run.kind,
            "mode": run.mode,
            "counts": {name: number for name, number in (run.counts or {}).items() if isinstance(number, int)},
            **published,
            "error_code": run.error_code,
            "error": run.error,
        },
    }
    for url in dict.fromkeys(urls):
        session.add(Event(run_id=run.run_id, url=url, body=json.dumps(body), created_at=now, next_attempt_at=now))


def due(session: Session) -> Sequence[str]:
    """The receivers that an attempt is due at now."""
    waiting = select(Event.url).where(Event.state == "waiting", Event.next_attempt_at <= func.now())
    return session.scalars(waiting.distinct()).all()


def claim(session: Session, url: str) -> Message | None:
    """Take a receiver's first event that is due; the next attempt at it is set before the one that is made now."""
    now = runs.now(session)
    row = session.scalars(
        select(Event)
        .where(Event.url == url, Event.state == "waiting", Event.next_attempt_at <= now)
        .order_by(Event.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()
    if row is None:
        return None
    wait = WAITS[min(row.attempts, len(WAITS) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311  # jitter, no secret
    row.attempts, row.next_attempt_at = row.attempts + 1, now + timedelta(seconds=wait)
    return Message(row.event_id, row.url, row.body)


def answered(session: Session, event_id: uuid.UUID, status: int | None, answer: str) -> None:
    """Keep how an attempt went.

    2xx is delivered. 410 says that the receiver is gone for good, which ends all that waits for its URL.
    Anything else waits for the next attempt, or after the last one has failed.
    """
    event = session.get(Event, event_id, with_for_update=True)
    if event is None or event.state != "waiting":
        return
    event.last_answer = answer
    if status is not None and 200 <= status < 300:
        event.state = "delivered"
    elif status == 410:
        session.execute(update(Event).where(Event.url == event.url, Event.state == "waiting").values(state="gone"))
    elif event.attempts > len(WAITS):
        event.state = "failed"
    session.flush()
    session.refresh(event)
    totals.add(session, "event_attempts", outcome=event.state)


def newest(session: Session, limit: int = 50) -> Sequence[Event]:
    """The newest events, newest first."""
    return session.scalars(select(Event).order_by(Event.created_at.desc(), Event.event_id).limit(limit)).all()


def drop_old(session: Session, kept: timedelta) -> None:
    """Forget events that are older than this; their attempts were over after a day."""
    session.execute(delete(Event).where(Event.created_at < func.now() - kept))
