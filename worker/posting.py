"""Posting events: one coroutine per receiver on a background thread, so that a slow receiver delays no other."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache

import certifi
import httpx
import structlog

from settings import Settings
from signatures import signed_headers
from store import event_keys, events
from store.database import TRANSIENT, transaction
from store.events import Message

ATTEMPT = 15  # seconds in total: name lookup, connection, TLS, request, response headers
THREADS = 64  # for name lookups and the database; a hanging lookup blocks its thread

log = structlog.get_logger("events")


class Poster:
    """Posts due events to each receiver, one after another; has to be created after the fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wanted: set[str] = set()
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="events"))
        threading.Thread(target=self._loop.run_forever, name="events", daemon=True).start()

    def serve(self, urls: Iterable[str]) -> None:
        """Start posting the due events of these receivers, without waiting for it."""
        for url in urls:
            self._loop.call_soon_threadsafe(self._serve_soon, url)

    def _serve_soon(self, url: str) -> None:
        self._wanted.add(url)  # also while it is served: its coroutine may have claimed its last event already
        if url not in self._serving:
            self._serving[url] = self._loop.create_task(self._serve(url))

    async def _serve(self, url: str) -> None:
        try:
            while url in self._wanted:
                self._wanted.discard(url)
                while (claimed := await asyncio.to_thread(self._claimed, url)) is not None:
                    message, secrets = claimed
                    status, answer = await post(message, secrets)
                    await asyncio.to_thread(self._answered, message, status, answer)
        except TRANSIENT as error:
            log.warning("events wait", reason=type(error).__name__)
        finally:
            del self._serving[url]

    def _claimed(self, url: str) -> tuple[Message, Sequence[str]] | None:
        with transaction(self._settings.database_url) as session:
            message = events.claim(session, url)
            return None if message is None else (message, event_keys.signing(session, self._settings, url))

    def _answered(self, message: Message, status: int | None, answer: str) -> None:
        with transaction(self._settings.database_url) as session:
            events.answered(session, message.event_id, status, answer)


async def post(message: Message, secrets: Sequence[str], seconds: float = ATTEMPT) -> tuple[int | None, str]:
    """Post an event; returns the response's status and reason, or None and the exception's name.

    Redirects are not followed, and the response's body is not read, since it may be endless.
    """
    webhook_id, now = f"evt_{message.event_id.hex}", datetime.now(UTC)
    headers = {"Content-Type": "application/json", "User-Agent": "SmartCRM-Analytics"}
    headers |= signed_headers(secrets, webhook_id, now, message.body)
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(timeout=None, verify=trusted()) as client,  # noqa: S113  # asyncio.timeout above
            client.stream("POST", message.url, content=message.body.encode(), headers=headers) as answer,
        ):
            log.info("event posted", webhook_id=webhook_id, status=answer.status_code)
            return answer.status_code, f"{answer.status_code} {answer.reason_phrase}".strip()
    except Exception as error:  # any failure is stored, and the event is posted again
        log.warning("event not posted", webhook_id=webhook_id, reason=type(error).__name__)
        return None, type(error).__name__


@lru_cache(maxsize=1)
def trusted() -> ssl.SSLContext:
    """The certificate authorities of the system, or of SSL_CERT_FILE, and those of certifi."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
