"""Outgoing events: posted from threads beside the tasks, so that a slow receiver never holds a task up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache

import requests
import structlog

from postgres import TRANSIENT
from signatures import signed_headers
from store import events
from store.database import transaction
from store.events import Message
from worker.app import app, settings

THREADS = 4
TIMEOUT = (3, 10)  # seconds to connect, and between bytes of the answer

log = structlog.get_logger("events")


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    # Made in the pool's child, after its fork. What dies with it is posted again: see store/events.py.
    return ThreadPoolExecutor(THREADS, thread_name_prefix="events")


@app.task(name="smartcrm.events", ignore_result=True)
def deliver() -> None:
    """Post what is due, without waiting for the answers."""
    for _ in range(THREADS):
        _threads().submit(_post_due)


def _post_due() -> None:
    try:
        while messages := _claimed():
            for message in messages:
                status, answer = _post(message)
                with transaction(settings.database_url) as session:
                    events.answered(session, message.event_id, status, answer)
    except TRANSIENT as fault:
        log.warning("events wait", reason=type(fault).__name__)


def _claimed() -> list[Message]:
    with transaction(settings.database_url) as session:
        return events.claim(session, 1)


def _post(message: Message) -> tuple[int | None, str]:
    """The answer's status and what it was, in a few words; no status where there was no answer."""
    webhook_id, now = f"evt_{message.event_id.hex}", datetime.now(UTC)
    headers = {"Content-Type": "application/json", "User-Agent": "SmartCRM-Analytics"}
    headers |= signed_headers(settings.webhook_secrets, webhook_id, now, message.body)
    try:
        # The answer's body is never read, so a receiver can't feed us for ever.
        with requests.post(
            message.url,
            message.body.encode(),
            headers=headers,
            timeout=TIMEOUT,
            allow_redirects=False,
            stream=True,
        ) as answer:
            log.info("event posted", webhook_id=webhook_id, status=answer.status_code)
            return answer.status_code, f"{answer.status_code} {answer.reason}"
    except (requests.RequestException, ValueError) as fault:
        log.warning("event not posted", webhook_id=webhook_id, reason=type(fault).__name__)
        return None, type(fault).__name__
