"""Outgoing events: one message per finished run and receiver, stored until it is delivered or given up.

The time of the next attempt is committed before each attempt. So an attempt whose process dies is repeated at that
time, under the same `webhook-id`, and no lock is held while a receiver answers.
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
# Seconds before the next attempt, each varied by up to 20 %; 24 hours in total.
WAITS = (5, 30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 8 * HOUR)


@dataclass(frozen=True)
class Message:
    """An event to post to a receiver."""

    event_id: uuid.UUID
    url: str
    body: str


def record(session: Session, run: Run, urls: Sequence[str], published: Mapping[str, Any]) -> None:
    """Store the events of a finished run, in the transaction that finishes it.

    `published` is added to their data: the kinds' figures about the published results.
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
    """The URLs of the receivers with an event that is due."""
    waiting = select(Event.url).where(Event.state == "waiting", Event.next_attempt_at <= func.now())
    return session.scalars(waiting.distinct()).all()


def claim(session: Session, url: str) -> Message | None:
    """Take a receiver's first event that is due, and set the time of its next attempt."""
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
    """Store the result of an attempt.

    2xx: delivered. 410: the receiver no longer exists; all waiting events of its URL become `gone`. Anything else: the
    event waits for its next attempt, or becomes `failed` after the last one.
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
    """Delete events that are older than this."""
    session.execute(delete(Event).where(Event.created_at < func.now() - kept))
