"""What has moved, in at most five sentences: days, segments, items and overdue customers; each leads to a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from typing import Any

from sqlalchemy.orm import Session

from kinds.rfm import cells
from kinds.rfm import results as segments
from kinds.rfm.listing import Filter, Listing
from kinds.trends import results as trends
from kinds.trends import tables
from kinds.trends.results import Wanted
from store.published import PublishedState
from webhook.pages.names import METRICS
from webhook.pages.words import Words

MOST = 5
FEW = 30  # customers; shares of fewer are unreliable
NOTABLE = 0.05  # a segment's change within a week that is worth a sentence
BEST = "Champions"

States = Mapping[str, PublishedState | None]


@dataclass(frozen=True)
class Sentence:
    """A sentence and the view that shows more: its endpoint, the values of its URL, and the place on its page."""

    text: str
    endpoint: str
    values: Mapping[str, Any] = field(default_factory=dict)
    anchor: str | None = None


def sentences(session: Session, write: Words, states: States) -> list[Sentence]:
    """What has moved, most urgent first; empty where nothing did."""
    return list(islice(_found(session, write, states), MOST))


def _found(session: Session, write: Words, states: States) -> Iterator[Sentence]:
    items: list[Any] = []
    of_trends = states.get("trends")
    if of_trends is not None:
        items = list(trends.trends(of_trends.generation, Wanted("item_orders")).rows(session))
        yield from islice(_unusual_days(session, write, of_trends), 1)
    yield from _overdue(session, write, states.get("rfm"))
    yield from _segments(session, write, states.get("rfm"))
    for direction, text in (
        ("rising", write.text("%(item)s is ordered more and more: %(change)s over %(weeks)s weeks.")),
        ("falling", write.text("%(item)s is ordered less and less: %(change)s over %(weeks)s weeks.")),
    ):
        moving = [item for item in items if item.direction == direction and item.change is not None]
        for item in sorted(moving, key=lambda item: (-abs(item.change), item.dimension))[:1]:
            values = {
                "item": _name(write, item),
                "change": write.change(item.change),
                "weeks": write.number(item.weeks),
            }
            yield Sentence(text % values, "pages.items.show", {"item_id": int(item.dimension)})
    odd = next((item for item in items if item.anomaly), None)
    if odd is not None:
        text = write.text("%(item)s sold unusually much or little on the last complete day.", item=_name(write, odd))
        yield Sentence(text, "pages.items.show", {"item_id": int(odd.dimension)})


def _name(write: Words, item: Any) -> str:
    return str(item.name) if item.name else write.text("Item %(id)s", id=item.dimension)


def _unusual_days(session: Session, write: Words, state: PublishedState) -> Iterator[Sentence]:
    """Totals that were far from what was expected on the last complete day."""
    last = last_complete(state)
    for metric in ("orders", "revenue", "known_customers", "new_customers"):
        row = next(iter(trends.trends(state.generation, Wanted(metric, "")).rows(session)), None)
        if row is None or not row.anomaly or last is None:
            continue
        found = tables.compare(session, state, metric, "", last)
        value, mean = found.today.value or 0.0, found.mean
        as_text = write.money if metric == "revenue" else write.number
        values = {"metric": write.text(METRICS[metric]), "day": write.weekday_and_day(last), "value": as_text(value)}
        if mean is None:
            text = write.text("%(metric)s on %(day)s were unusual: %(value)s.", **values)
        else:
            shown = values | {"mean": as_text(round(mean, 2))}
            text = write.text("%(metric)s on %(day)s: %(value)s, far from what is usual (%(mean)s).", **shown)
        yield Sentence(text, "pages.morning.show", anchor="figures")


def _overdue(session: Session, write: Words, state: PublishedState | None) -> Iterator[Sentence]:
    """Customers of the best segment who should have come again by now, by their usual intervals."""
    if state is None or BEST not in segments.segment_names(state):
        return
    overdue = Listing(session, Filter(state, BEST, overdue=True)).count()
    if overdue:
        text = write.counted(
            "%(number)s of the Champions is overdue: by the usual intervals a visit was due.",
            "%(number)s of the Champions are overdue: by their usual intervals a visit was due.",
            overdue,
        )
        yield Sentence(text, "pages.customers.show", {"segment": BEST, "overdue": "true"}, "list")


def _segments(session: Session, write: Words, state: PublishedState | None) -> Iterator[Sentence]:
    """The segment that has changed most within a week, by its customers."""
    if state is None or state.run.plan is None:
        return
    today = date.fromisoformat(state.run.plan["business_date"])
    before = segments.segments_on(session, today - timedelta(days=7))
    now = cells.by_segment(state, cells.cells(session, state))
    changes = {
        name: (now[name].customers if name in now else 0) / known.customers - 1
        for name, known in before.items()
        if known.customers >= FEW
    }
    name = max(changes, key=lambda name: (abs(changes[name]), name), default=None)
    if name is None or abs(changes[name]) < NOTABLE:
        return
    customers = now[name].customers if name in now else 0
    values = {
        "segment": write.own(name),
        "customers": write.number(customers),
        "change": write.change(changes[name]),
        "before": write.number(before[name].customers),
    }
    text = write.text("%(segment)s: %(customers)s customers, %(change)s within a week (before: %(before)s).", **values)
    yield Sentence(text, "pages.customers.show", {"segment": name}, "segments")


def last_complete(state: PublishedState) -> date | None:
    """The last complete business day of the published series."""
    found = (state.run.counts or {}).get("last_complete_date")
    return date.fromisoformat(found) if found and trends.complete_days(state) else None
