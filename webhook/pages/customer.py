"""One customer: values beside the cut points, the segment and its reason, what is expected, and what to offer now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
import structlog
from flask import Blueprint, current_app
from markupsafe import Markup
from sqlalchemy import Row
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from errors import SmartCRMError
from kinds.clusters import results as clusters
from kinds.predictions import results as predictions
from kinds.recommendations import results as recommendations
from kinds.recommendations.ranking import Item, Ranking
from kinds.rfm import results
from settings import Settings
from source import customers, orders
from source.customers import Visit
from store.published import PublishedState, published
from webhook.pages import lines, pictures
from webhook.pages.frame import page, read, words
from webhook.problems import Problem

MOVES_SHOWN = 50
OFFERED = 5

log = structlog.get_logger("webhook")
blueprint = Blueprint("customer", __name__)


@blueprint.get("/customers/<path:mobile_id>")
def show(mobile_id: str) -> Response:
    """The page."""
    settings: Settings = current_app.config["SETTINGS"]

    def build(session: Session) -> Response:
        state = published(session, "rfm")
        row = None if state is None or "\0" in mobile_id else results.customer(session, mobile_id)
        if state is None or row is None:
            raise Problem(404, "customer_not_found", "There is no such customer with a purchase.")
        points = results.cut_points(state)
        visits = _visits(settings, state, mobile_id)
        return page(
            "customer.html",
            state=state,
            customer=row,
            points=points,
            strips=_strips(row, points),
            moves=results.changes_of(session, mobile_id, MOVES_SHOWN),
            expected=_expected(session, mobile_id),
            cluster=clusters.cluster_of(session, mobile_id),
            offer=_offer(session, settings, mobile_id),
            why=why,
            visits=visits,
            timeline=_timeline(visits, state) if visits else Markup(),
        )

    return read(build)


def _visits(settings: Settings, state: PublishedState, mobile_id: str) -> list[Visit] | None:
    """The customer's business days with orders, from the CRM's database; None where they can't be read quickly."""
    try:
        with orders.snapshot(settings.source_database_url, state.run.plan or {}) as crm:
            return customers.visits_of(crm, state.run.plan or {}, mobile_id)
    except (SmartCRMError, psycopg.Error) as error:
        log.warning("visits not read", reason=type(error).__name__)
        return None


def _timeline(visits: list[Visit], state: PublishedState) -> Markup:
    write = words()
    last = state.as_of.date()
    bars = [
        lines.Mark(visit.day, visit.cents / 100, f"{write.day(visit.day)}: {write.money(visit.cents / 100)}")
        for visit in visits
    ]
    ends = (write.day(visits[0].day), write.day(last))
    return lines.timeline(bars, last, ends, write.text("Amount of each visit in time"))


@dataclass(frozen=True)
class Expected:
    """A prediction in words, most important first."""

    row: Row[Any]
    sentences: list[str]


def _expected(session: Session, mobile_id: str) -> Expected | None:
    """What is expected of the customer; None where nothing is predicted."""
    state = published(session, "predictions")
    row = None
    if state is not None and predictions.too_little_data(state) is None:
        row = predictions.customer(session, state, mobile_id)
    if row is None:
        return None
    write = words()
    found = []
    if row.overdue_since:
        since = write.day(row.overdue_since)
        found.append(write.text("Overdue since %(day)s: by the usual interval a visit was due.", day=since))
    if row.next_order_from and row.next_order_to:
        days = {"first": row.next_order_from, "last": row.next_order_to, "middle": row.next_order_median}
        ends = {name: write.day_and_month(day) for name, day in days.items()}
        text = write.text("Due between %(first)s and %(last)s, as likely as not by %(middle)s.", **ends)
        found.append(text)
    else:
        found.append(write.text("A visit within 90 days is unlikely, so no date is expected."))
    shares = {"month": write.share(row.p_order_30d), "quarter": write.share(row.p_order_90d)}
    found.append(write.text("Probability of a visit: %(month)s within 30 days, %(quarter)s within 90 days.", **shares))
    amounts = {
        "orders": write.number(round(row.expected_orders_90d, 1)),
        "value": write.money(Decimal(row.expected_value_90d)),
    }
    found.append(write.text("Expected within 90 days: %(orders)s visits worth %(value)s.", **amounts))
    return Expected(row, found)


def _offer(session: Session, settings: Settings, mobile_id: str) -> Ranking | None:
    """What to recommend at this time of day."""
    state = published(session, "recommendations")
    if state is None:
        return None
    daypart = recommendations.daypart_at(state, datetime.now(settings.zone).time())
    mode = settings.recommendation_mode
    found = recommendations.rankings(session, state, [mobile_id], daypart, limit=OFFERED, mode=mode)[0]
    return found if found.items else None


def why(item: Item) -> str:
    """Why an item is recommended, in words."""
    write, reason = words(), item.reason
    if reason.kind == "ordered" and reason.last_ordered is not None:
        last = write.day(reason.last_ordered)
        if reason.orders == 1:
            return write.text("ordered once, on %(day)s", day=last)
        return write.text("ordered %(number)s times, last on %(day)s", number=write.number(reason.orders), day=last)
    if reason.together_with is not None:
        other = reason.together_with.name or write.text("Item %(id)s", id=reason.together_with.item_id)
        return write.text(
            "%(number)s customers who order %(other)s order it, too", number=write.number(reason.orders), other=other
        )
    return write.counted("popular: in %(number)s order", "popular: in %(number)s orders", reason.orders)


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
