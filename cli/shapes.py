"""What `--json` prints: the members that the HTTP API has for the same thing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from kinds.menu.results import RankedDaypart
from kinds.rfm.results import SEGMENT_COLUMNS
from source.checks import Finding
from store.models import Event, ModelVersion, Run
from store.published import PublishedState
from store.runs import RunState

Shape = dict[str, Any]


def run(state: RunState) -> Shape:
    """A run and how far it is; `counts` says what it counted and left out."""
    names = ("run_id", "kind", "mode", "status", "requested_at", "started_at", "finished_at", "as_of")
    row = state.run
    faults = {"error_code": row.error_code, "error": state.error}
    shape = {name: getattr(row, name) for name in names} | faults
    stages = [{"stage": stage.name, "parts": stage.parts, "done": stage.done} for stage in state.stages]
    return shape | {"progress": state.progress, "stages": stages, "counts": counts(row)}


def counts(row: Run) -> dict[str, int]:
    """What a run counted, by name."""
    return {name: number for name, number in (row.counts or {}).items() if isinstance(number, int)}


def event(row: Event) -> Shape:
    """An outgoing event; its receiver's URL without what may be secret in it."""
    names = ("event_id", "run_id", "state", "attempts", "created_at", "last_answer")
    waits = row.state == "waiting"
    return {name: getattr(row, name) for name in names} | {
        "type": json.loads(row.body)["type"],
        "url": public_url(row.url),
        "next_attempt_at": row.next_attempt_at if waits else None,
    }


def event_keys(keys: Sequence[tuple[str, str, datetime | None]]) -> Shape:
    """The receivers' keys; until `both_until` events are signed with WEBHOOK_SECRETS as well."""
    return {"keys": [{"url": url, "key": key, "both_until": until} for url, key, until in keys]}


def public_url(url: str) -> str:
    """A URL without user, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def summary(state: PublishedState, rows: Sequence[Any]) -> Shape:
    """All segments, largest first."""
    return _of(state) | {
        "customers": sum(row.customers for row in rows),
        "segments": [dict(row._mapping) for row in rows],
    }


def customers(state: PublishedState, rows: Sequence[Any]) -> Shape:
    """Customers in order of their ids."""
    return _of(state) | {"segments": [{name: getattr(row, name) for name in SEGMENT_COLUMNS} for row in rows]}


def _of(state: PublishedState) -> Shape:
    return {"run_id": state.run.run_id, "as_of": state.as_of}


def menu(state: PublishedState, dayparts: Sequence[RankedDaypart]) -> Shape:
    """All dayparts."""
    return _of(state) | {"dayparts": [daypart(each) for each in dayparts]}


def daypart(ranked: RankedDaypart | None) -> Shape:
    """A daypart's items, best first; no daypart and no items in a gap between dayparts."""
    if ranked is None:
        return {"daypart": None, "items": []}
    names = ("rank", "menu_item_id", "menu_item_name", "category", "orders", "share", "run_id", "created_at")
    return {
        "daypart": {
            "daytime_id": ranked.daytime_id,
            "daytime_label": ranked.label,
            "start_time": ranked.start_time,
            "end_time": ranked.end_time,
        },
        "items": [
            {name: getattr(item, name) for name in names} | {"quantity": _number(item.quantity)}
            for item in ranked.items
        ],
    }


def _number(quantity: int | Decimal) -> int | float:
    return quantity if isinstance(quantity, int) else float(quantity)


def finding(found: Finding) -> Shape:
    """One thing that was looked at, and what to do about it."""
    return {"level": found.level, "subject": found.subject, "found": found.found, "remedy": found.remedy}


def model(found: ModelVersion) -> Shape:
    """A version of a kind's model."""
    return {column.name: getattr(found, column.name) for column in ModelVersion.__table__.columns}
