"""Charts and tables of segments: sizes, scores, changes since earlier days, and moves between segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from flask import url_for
from markupsafe import Markup
from sqlalchemy.orm import Session

from kinds.rfm import flows, results
from kinds.rfm.cells import Total
from kinds.rfm.flows import Flow
from store.published import PublishedState
from webhook.pages import pictures
from webhook.pages.frame import words

SCORES = (1, 2, 3, 4, 5)
WEEK, MONTH = timedelta(days=7), timedelta(days=30)


@dataclass(frozen=True)
class Changes:
    """How many customers each segment has gained or lost since a week and 30 days ago; empty where not known."""

    week: Mapping[str, int]
    month: Mapping[str, int]


def changes(session: Session, state: PublishedState, totals: Mapping[str, Total]) -> Changes:
    """The segments' changes until the published state."""
    assert state.run.plan is not None
    today = date.fromisoformat(state.run.plan["business_date"])
    return Changes(*(_since(session, today - ago, totals) for ago in (WEEK, MONTH)))


def _since(session: Session, day: date, totals: Mapping[str, Total]) -> Mapping[str, int]:
    before = results.segments_on(session, day)
    if not before:
        return {}
    names = {*totals, *before}
    now = {name: totals[name].customers if name in totals else 0 for name in names}
    return {name: now[name] - (before[name].customers if name in before else 0) for name in names}


def moves(session: Session, state: PublishedState, days: int) -> Sequence[Flow]:
    """How many customers moved from which segment to which within the last business days."""
    assert state.run.plan is not None
    return flows.since(session, date.fromisoformat(state.run.plan["business_date"]) - timedelta(days=days))


def flow_map(found: Sequence[Flow], order: Sequence[str]) -> Markup:
    """Moves as a grid: from the segments at the left to those below."""
    if not found:
        return Markup()
    write = words()
    counted = {(flow.from_segment, flow.to_segment): flow.customers for flow in found}
    ends = [each for pair in counted for each in pair if each is not None]
    names = [*order, *sorted({*ends} - {*order}), None]
    columns = [(after, end(after)) for after in names]
    rows = []
    for before, begin in [(name, start(name)) for name in names]:
        line = []
        for after, until in columns:
            moved = counted.get((before, after), 0)
            number = write.number(moved)
            title = f"{begin} → {until}: {number}"
            line.append(pictures.Cell(text=number if moved else "", value=moved, title=title))
        rows.append((begin, line))
    label = write.text("Moves from the segments at the left to those below")
    return pictures.heat_map(rows, [until for _, until in columns], label, left=16, below=16, kind="heat flow")


def start(segment: str | None) -> str:
    """Where a move began, in words."""
    return words().own(segment) if segment else words().text("new customer")


def end(segment: str | None) -> str:
    """Where a move led, in words."""
    return words().own(segment) if segment else words().text("gone")


def treemap(totals: dict[str, Total], whole: Total) -> Markup:
    """Segments by customers and revenue per customer; each leads to its list."""
    write = words()
    return pictures.treemap_of(
        [
            pictures.Tile(
                name=write.own(segment),
                note=f"{write.number(total.customers)} · {write.money(total.per_customer, whole=True)}",
                size=total.customers,
                value=float(total.per_customer),
                title=f"{write.own(segment)}: {_in_words(total)}, {write.share(total.customers / whole.customers)}",
                link=url_for("pages.customers.show", segment=segment, _anchor="list"),
            )
            for segment, total in totals.items()
        ],
        write.text("Segments: area by customers, colour by revenue per customer"),
    )


def heat_map(pairs: Mapping[tuple[int, int], Total]) -> Markup:
    """Customers by their scores of recency and frequency."""
    write = words()
    rows = []
    for frequency in reversed(SCORES):
        line = []
        for recency in SCORES:
            total = pairs.get((recency, frequency), Total(0, 0))
            line.append(
                pictures.Cell(
                    text=write.number(total.customers),
                    value=total.customers,
                    title=f"R {recency}, F {frequency}: {_in_words(total)}",
                )
            )
        rows.append((f"F\u00a0{frequency}", line))
    label = write.text("Customers by their scores of recency and frequency")
    return pictures.heat_map(rows, [f"R\u00a0{recency}" for recency in SCORES], label)


def _in_words(total: Total) -> str:
    write = words()
    customers = write.counted("%(number)s customer", "%(number)s customers", total.customers)
    each = write.text("%(amount)s each", amount=write.money(total.per_customer))
    return f"{customers}, {write.money(total.revenue)}, {each}"
