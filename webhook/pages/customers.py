"""Customers: segments as numbers and charts, the list of customers, and one customer's page."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Blueprint, url_for
from markupsafe import Markup
from pydantic import Field
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kinds.rfm import cells, listing, results
from kinds.rfm.cells import Cell, Total
from store.published import PublishedState, published
from webhook.described import query
from webhook.filters import CustomersFilter, from_cursor, to_cursor
from webhook.pages import pictures
from webhook.pages.frame import page, read, words
from webhook.problems import Problem

SHOWN = 50
MOVES_SHOWN = 50
FEW = 30  # customers; shares of fewer are unreliable
SCORES = (1, 2, 3, 4, 5)

blueprint = Blueprint("customers", __name__)


class CustomersQuery(CustomersFilter):
    """Which customers to list."""

    cursor: Annotated[str, Field(max_length=4096)] | None = None


@blueprint.get("/customers")
def show() -> Response:
    """Segments, scores and cut points over all customers, and a page of the list."""
    params = query(CustomersQuery)

    def build(session: Session) -> Response:
        state = published(session, "rfm")
        if state is None:
            return page("customers.html", state=None)
        found = cells.cells(session, state)
        totals = cells.by_segment(state, found)
        whole = sum(totals.values(), Total(0, 0))
        return page(
            "customers.html",
            state=state,
            warnings=(state.run.counts or {}).get("warnings", []),
            totals=totals,
            whole=whole,
            few=whole.customers < FEW,
            treemap=_treemap(totals, whole),
            heat_map=_heat_map(found),
            pairs=cells.by_recency_and_frequency(found),
            scores=SCORES,
            cut_points=results.cut_points(state),
            **_list(session, state, params, totals),
        )

    return read(build)


def _list(session: Session, state: PublishedState, params: CustomersQuery, totals: dict[str, Total]) -> dict[str, Any]:
    """A page of the list: its customers, the number of all that match the filter, and the links."""
    wanted = params.of(state)
    counted = _counted(session, wanted, totals)
    sortable = counted <= listing.MOST_SORTED
    if not sortable:
        listing.check_sort(session, wanted, params.sort)
    after = from_cursor(params.cursor, params.sort) if params.cursor else None
    rows = listing.page(session, wanted, params.sort, after=after, limit=SHOWN + 1) if counted else []
    more = len(rows) > SHOWN
    kept = {"segment": wanted.segment, "mobile_id_prefix": wanted.prefix, "sort": params.sort}
    return {
        "params": params,
        "kept": {name: value for name, value in kept.items() if value and value != "mobile_id"},
        "wanted": wanted,
        "counted": counted,
        "most": listing.MOST_SORTED,
        "sortable": sortable,
        "customers": rows[:SHOWN],
        "next": to_cursor(listing.position(rows[SHOWN - 1], params.sort)) if more else None,
    }


def _counted(session: Session, wanted: listing.Filter, totals: dict[str, Total]) -> int:
    """The number of customers that match the filter: from the totals if possible, else counted up to sort limit + 1."""
    if wanted.prefix is not None:
        return listing.count(session, wanted, listing.MOST_SORTED + 1)
    if wanted.segment is not None:
        return totals.get(wanted.segment, Total(0, 0)).customers
    return sum(total.customers for total in totals.values())


def _treemap(totals: dict[str, Total], whole: Total) -> Markup:
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


def _heat_map(found: list[Cell]) -> Markup:
    write = words()
    pairs = cells.by_recency_and_frequency(found)
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
        rows.append((f"F {frequency}", line))
    label = write.text("Customers by their scores of recency and frequency")
    return pictures.heat_map(rows, [f"R {recency}" for recency in SCORES], label)


def _in_words(total: Total) -> str:
    write = words()
    customers = write.counted("%(number)s customer", "%(number)s customers", total.customers)
    each = write.text("%(amount)s each", amount=write.money(total.per_customer))
    return f"{customers}, {write.money(total.revenue)}, {each}"


@blueprint.get("/customers/<path:mobile_id>")
def one(mobile_id: str) -> Response:
    """One customer: the values beside the cut points, the reason for the segment, and past segments."""

    def build(session: Session) -> Response:
        state = published(session, "rfm")
        row = None if state is None or "\0" in mobile_id else results.customer(session, mobile_id)
        if state is None or row is None:
            raise Problem(404, "customer_not_found", "There is no such customer with a purchase.")
        points = results.cut_points(state)
        return page(
            "customer.html",
            state=state,
            customer=row,
            points=points,
            strips=_strips(row, points),
            moves=results.changes_of(session, mobile_id, MOVES_SHOWN),
        )

    return read(build)


def _strips(row: Any, points: dict[str, results.CutPoints]) -> list[tuple[str, str, Markup]]:
    """Per measure its name, the customer's value and score, and the cut points."""
    write = words()
    average = points["monetary"].average
    spent = row.monetary / row.frequency if average else row.monetary
    days = write.counted("%(number)s day", "%(number)s days", row.recency_days)
    amount = write.text("Monetary, average per visit" if average else "Monetary, total")
    shown = {
        "recency_days": (write.text("Recency, days since the last visit"), row.r_score, days),
        "frequency": (write.text("Frequency, visits"), row.f_score, write.number(row.frequency)),
        "monetary": (amount, row.m_score, write.money(spent)),
    }
    strips = []
    for measure, (name, score, value) in shown.items():
        bounds = sorted(points[measure].values, reverse=measure == "recency_days")
        format_one = write.money if measure == "monetary" else write.number
        text = write.text("%(value)s scores %(score)s of 5", value=value, score=score)
        picture = pictures.score_strip(score, [format_one(float(bound)) for bound in bounds], f"{name}: {text}")
        strips.append((name, text, picture))
    return strips
