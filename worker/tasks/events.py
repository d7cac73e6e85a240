"""Outgoing events, posted beside the tasks, so that a slow receiver never holds a task up."""

from __future__ import annotations

from functools import lru_cache

from store import events
from store.database import transaction
from worker.app import app, settings
from worker.posting import Poster


@lru_cache(maxsize=1)
def _poster() -> Poster:
    # Made in the pool's child, after its fork. What dies with it is posted again: see store/events.py.
    return Poster(settings)


@app.task(name="smartcrm.events", ignore_result=True)
def deliver() -> None:
    """Post what is due, without waiting for the answers."""
    with transaction(settings.database_url) as session:
        urls = events.due(session)
    _poster().serve(urls)
