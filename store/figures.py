"""Gauges for monitoring: age of the published results, unfinished runs, stored events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Figure:
    """A gauge: its labels' names, and its value for each of their values."""

    name: str
    description: str
    labels: Sequence[str]
    values: Sequence[tuple[Sequence[str], float]]


# What the models in service note with each run; an index above its limit is an alarm.
_DRIFT = """
SELECT kind, key, (value->>'{}')::float FROM analytics_models,
  jsonb_each(CASE WHEN jsonb_typeof(metrics #> '{{drift,features}}') = 'object'
    THEN metrics #> '{{drift,features}}' ELSE '{{}}' END)
WHERE status = 'champion'
"""
_LAST_MONTH = """
SELECT kind, (metrics #>> '{{drift,last_month,{}}}')::float FROM analytics_models
WHERE status = 'champion' AND metrics #>> '{{drift,last_month,{}}}' IS NOT NULL
"""

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
    (
        "model_version",
        "The version of the model in service.",
        "kind",
        "SELECT kind, version FROM analytics_models WHERE status = 'champion'",
    ),
    (
        "model_drift",
        "Population stability index of a feature of the model in service: how far customers moved since its training.",
        "kind feature",
        _DRIFT.format("psi"),
    ),
    (
        "model_drift_limit",
        "The index above which customers have changed by more than chance.",
        "kind feature",
        _DRIFT.format("limit"),
    ),
    (
        "model_last_month_ratio",
        "Customers that the model expected to order in the last thirty days, divided by those who did.",
        "kind",
        _LAST_MONTH.format("predicted_to_actual", "predicted_to_actual"),
    ),
    (
        "model_last_month_calibration_error",
        "Calibration error of the model in service over the last thirty days.",
        "kind",
        _LAST_MONTH.format("calibration_error", "calibration_error"),
    ),
)


def states(session: Session, kinds: Sequence[str]) -> list[Figure]:
    """The gauges' current values; `kinds` are the kinds that have runs."""
    found = []
    for name, description, labels, query in _STATES:
        rows = session.execute(text(query), {"kinds": list(kinds)} if ":kinds" in query else {})
        found.append(Figure(name, description, labels.split(), [(of, float(value)) for *of, value in rows]))
    return found
