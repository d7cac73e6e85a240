"""The task that starts posting outgoing events on a background thread, so that no task waits for a receiver."""

from __future__ import annotations

from functools import lru_cache

from store import events
from store.database import transaction
from worker.app import app, settings
from worker.posting import Poster


@lru_cache(maxsize=1)
def _poster() -> Poster:
    # Created in the pool's child, after its fork. If the child dies, its events are posted again: see store/events.py.
    return Poster(settings)


@app.task(name="smartcrm.events", ignore_result=True)
def deliver() -> None:
    """Post due events, without waiting for the responses."""
    with transaction(settings.database_url) as session:
        urls = events.due(session)
    _poster().serve(urls)
