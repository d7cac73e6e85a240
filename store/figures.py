"""Gauges for monitoring: age of the published results, unfinished runs, stored events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Figure:
    """The value of a gauge for one label: `of` is the label's value."""

    name: str
    description: str
    label: str
    of: str
    value: float


_STATES = (
    (
        "published_age_seconds",
        "Age of the published results.",
        "kind",
        "SELECT kind, extract(epoch FROM now() - published_at) FROM analytics_published",
    ),
    (
        "runs_unfinished",
        "Runs that are pending or running.",
        "status",
        "SELECT s, (SELECT count(*) FROM analytics_runs WHERE status = s)"
        " FROM unnest(ARRAY['pending', 'running']) AS s",
    ),
    (
        "oldest_unfinished_run_seconds",
        "Age of the oldest pending or running run; 0 where there is none.",
        "kind",
        "SELECT k, coalesce((SELECT extract(epoch FROM now() - min(requested_at)) FROM analytics_runs"
        " WHERE kind = k AND status IN ('pending', 'running')), 0) FROM unnest(CAST(:kinds AS text[])) AS k",
    ),
    (
        "events_kept",
        "Stored outgoing events, by state.",
        "state",
        "SELECT s, (SELECT count(*) FROM analytics_events WHERE state = s)"
        " FROM unnest(ARRAY['waiting', 'delivered', 'failed', 'gone']) AS s",
    ),
)


def states(session: Session, kinds: Sequence[str]) -> list[Figure]:
    """The gauges' current values; `kinds` are the kinds that have runs."""
    return [
        Figure(name, description, label, of, float(value))
        for name, description, label, query in _STATES
        for of, value in session.execute(text(query), {"kinds": list(kinds)} if ":kinds" in query else {})
    ]
