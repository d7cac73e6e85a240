"""The JSON that `--json` prints, with the same members as in the HTTP API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

from kinds.menu.matrix import MenuMatrix
from kinds.menu.results import RankedDaypart
from kinds.rfm import results as rfm_results
from kinds.rfm.preview import Preview
from kinds.rfm.results import SEGMENT_COLUMNS
from source.checks import Finding
from store.models import Event, ModelVersion, Run
from store.published import PublishedState
from store.runs import RunState

Shape = dict[str, Any]


def run(state: RunState) -> Shape:
    """A run and its progress; `counts` includes skipped rows."""
    names = ("run_id", "kind", "mode", "status", "requested_at", "started_at", "finished_at", "as_of")
    row = state.run
    errors = {"error_code": row.error_code, "error": state.error}
    shape = {name: getattr(row, name) for name in names} | errors
    stages = [{"stage": stage.name, "parts": stage.parts, "done": stage.done} for stage in state.stages]
    return shape | {"progress": state.progress, "stages": stages, "counts": counts(row)} | {"warnings": warnings(row)}


def counts(row: Run) -> dict[str, int]:
    """A run's counts by name."""
    return {name: number for name, number in (row.counts or {}).items() if isinstance(number, int)}


def warnings(row: Run) -> list[str]:
    """A run's warnings."""
    return list((row.counts or {}).get("warnings", []))


def event(row: Event) -> Shape:
    """An outgoing event; its receiver's URL without user, password and query."""
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


def summary(state: PublishedState, rows: Sequence[Any], warnings: Sequence[str]) -> Shape:
    """All segments, largest first."""
    return _of(state) | {
        "customers": sum(row.customers for row in rows),
        "cut_points": cut_points(rfm_results.cut_points(state)),
        "warnings": list(warnings),
        "segments": [dict(row._mapping) for row in rows],
    }


def cut_points(found: Mapping[str, rfm_results.CutPoints]) -> Shape:
    """The cut points, with source and unit."""
    average = found["monetary"].average
    return {name: [_decimal(value) for value in each.values] for name, each in found.items()} | {
        "source": {name: "own" if each.own else "quintiles" for name, each in found.items()},
        "unit": {
            "recency_days": "days",
            "frequency": "purchases",
            "monetary": "money per purchase" if average else "money",
        },
        "monetary_measure": "average" if average else "total",
    }


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / value.denominator


def preview(state: PublishedState, found: Preview) -> Shape:
    """The preview of another segment map."""
    return _of(state) | {
        "customers": found.customers,
        "moved": found.moved,
        "excluded": found.excluded,
        "unknown_ids": found.unknown_ids,
        "cut_points": cut_points(found.cut_points),
        "segments": [asdict(each) for each in found.segments],
        "moves": [asdict(each) for each in found.moves],
        "sample": [asdict(each) for each in found.sample],
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
    """A daypart's items, best first; null and no items for a time between dayparts."""
    if ranked is None:
        return {"daypart": None, "items": []}
    names = (
        "rank",
        "menu_item_id",
        "menu_item_name",
        "category",
        "orders",
        "share",
        "run_id",
        "created_at",
        "previous_rank",
    )
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


def matrix(state: PublishedState, found: MenuMatrix, daytime_id: int | None) -> Shape:
    """Items by popularity and margin."""
    items = [asdict(item) | {"quantity": _number(item.quantity)} for item in found.items]
    return _of(state) | {"daytime_id": daytime_id} | asdict(found) | {"items": items}


def _number(quantity: int | Decimal) -> int | float:
    return int(quantity) if quantity == int(quantity) else float(quantity)


def trends(state: PublishedState, rows: Sequence[Shape]) -> Shape:
    """Trends in order of metrics and dimensions."""
    return _of(state) | {"trends": list(rows)}


def finding(found: Finding) -> Shape:
    """A finding of the doctor."""
    return {"level": found.level, "subject": found.subject, "found": found.found, "remedy": found.remedy}


def model(found: ModelVersion) -> Shape:
    """A version of a kind's model."""
    return {column.name: getattr(found, column.name) for column in ModelVersion.__table__.columns}
