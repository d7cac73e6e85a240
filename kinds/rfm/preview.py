"""Previewing another segment map: exact, computed from the published customers, and not stored.

A run with that map over the same orders publishes the same. Customers whom the published map excludes have no published
values; the number of such ids is returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg import sql
from sqlalchemy.orm import Session

from analytics.scores import FREQUENCY, RECENCY, Point
from analytics.segments import MapError, SegmentMap, read_map
from errors import RequestError
from kinds.rfm.quantiles import exact_cut_points
from kinds.rfm.results import CutPoints, published_customers, shown_cut_points
from kinds.rfm.rules import Rules, measures, own_cut_points, rules
from postgres import tune
from source.window import today
from store.database import driver
from store.published import PublishedState

SAMPLE = 20  # customers who would move


@dataclass(frozen=True)
class SegmentBeside:
    """A segment under the map, and as published."""

    segment: str
    customers: int
    revenue: Decimal
    published_customers: int
    published_revenue: Decimal


@dataclass(frozen=True)
class Move:
    """Customers who would move from one segment to another; None: they are excluded."""

    from_segment: str
    to_segment: str | None
    customers: int
    revenue: Decimal


@dataclass(frozen=True)
class MovingCustomer:
    """A customer who would move, with the published score and the score under the map."""

    mobile_id: str
    recency_days: int
    frequency: int
    monetary: Decimal
    from_segment: str
    to_segment: str | None
    rfm_score: str
    new_rfm_score: str | None


@dataclass(frozen=True)
class Preview:
    """The segments and moves under a map, those with the most customers first."""

    customers: int
    moved: int
    excluded: int  # published customers whom the map excludes
    unknown_ids: int  # ids that the published map excludes and this one does not
    cut_points: dict[str, CutPoints]
    segments: list[SegmentBeside]
    moves: list[Move]
    sample: list[MovingCustomer]


def map_of(tables: Mapping[str, Any]) -> SegmentMap:
    """The map of a file's tables.

    Raises
    ------
    RequestError
        When it is not valid, with the table, the key and the reason.
    """
    try:
        return read_map(tables)
    except MapError as error:
        raise RequestError(str(error), code="invalid_map") from None


def preview(session: Session, state: PublishedState, wanted: SegmentMap) -> Preview:
    """Preview the map on the published customers, in the session's snapshot."""
    plan = state.run.plan or {}
    points = _cut_points(session, state, wanted)
    day = today(plan)
    new, old = rules(points, wanted.segments, day), rules({}, plan["segments"], day)
    customers = _customers(state, wanted, new)
    tune(driver(session))
    driver(session).execute("SET LOCAL max_parallel_workers_per_gather = 2")  # a person waits for it
    groups = driver(session).execute(
        sql.SQL("SELECT was, becomes, count(*), sum(cents) * 0.01 FROM {} GROUP BY 1, 2").format(customers)
    )
    moves = [Move(*_names(old, new, was, becomes), *sums) for was, becomes, *sums in groups.fetchall()]
    moving = [move for move in moves if move.from_segment != move.to_segment]
    return Preview(
        customers=sum(move.customers for move in moves if move.to_segment is not None),
        moved=sum(move.customers for move in moving),
        excluded=sum(move.customers for move in moves if move.to_segment is None),
        unknown_ids=len(set(plan.get("excluded", ())) - set(wanted.excluded)),
        cut_points=shown_cut_points((RECENCY, FREQUENCY, wanted.measure), points, wanted.own),
        segments=_beside(moves),
        moves=sorted(moving, key=lambda move: (-move.customers, move.from_segment, move.to_segment or "")),
        sample=_sample(session, customers, old, new, day),
    )


def _cut_points(session: Session, state: PublishedState, wanted: SegmentMap) -> dict[str, list[Point]]:
    """The map's own cut points, and quintiles of the other measures over the customers whom it includes.

    The published run's quintiles are used if it has them and the map excludes no published customer.
    """
    plan, counts = state.run.plan or {}, state.run.counts or {}
    mine = published_customers(state.generation)
    needed = (RECENCY, FREQUENCY, wanted.measure)
    known: dict[str, list[Point]] = {}
    if _holds_any(session, state, wanted.excluded):
        mine = sql.SQL("{} AND {}").format(mine, _kept(wanted))
    else:
        quintiles = {*measures(plan)} & {*needed} - own_cut_points(plan).keys()
        known = {measure: points for measure, points in counts["cut_points"].items() if measure in quintiles}
    missing = [each for each in needed if each not in known.keys() | wanted.own.keys()]
    if missing:
        known |= exact_cut_points(session, mine, max(counts["customers"], 1), missing, today(plan))[1]
    return known | wanted.own


def _holds_any(session: Session, state: PublishedState, ids: Sequence[str]) -> bool:
    query = "SELECT 1 FROM rfm_results WHERE generation = %s AND mobile_id = ANY(%s) LIMIT 1"
    return bool(ids) and driver(session).execute(query, [state.generation, list(ids)]).fetchone() is not None


def _kept(wanted: SegmentMap) -> sql.Composable:
    return sql.SQL("mobile_id <> ALL({}::text[])").format(sql.Literal(list(wanted.excluded)))


def _customers(state: PublishedState, wanted: SegmentMap, new: Rules) -> sql.Composed:
    """The published customers with the number of their segment: what it `was`, and what it `becomes`."""
    becomes = new.segment_number()
    if wanted.excluded:
        becomes = sql.SQL("CASE WHEN {} THEN {} END").format(_kept(wanted), becomes)
    return sql.SQL(
        "(SELECT *, segment_number AS was, {becomes} AS becomes"
        " FROM (SELECT *, {scores} FROM rfm_results WHERE generation = {generation}) AS scored) AS customers"
    ).format(becomes=becomes, scores=new.columns(), generation=sql.Literal(state.generation))


def _names(old: Rules, new: Rules, was: int, becomes: int | None) -> tuple[str, str | None]:
    return old.names[was - 1], None if becomes is None else new.names[becomes - 1]


def _beside(moves: Sequence[Move]) -> list[SegmentBeside]:
    names = {move.from_segment for move in moves} | {move.to_segment for move in moves if move.to_segment is not None}
    found = []
    for name in names:
        come = [move for move in moves if move.to_segment == name]
        were = [move for move in moves if move.from_segment == name]
        counts = (sum(move.customers for move in each) for each in (come, were))
        revenues = (sum((move.revenue for move in each), Decimal("0.00")) for each in (come, were))
        (customers, before), (revenue, revenue_before) = counts, revenues
        found.append(SegmentBeside(name, customers, _money(revenue), before, _money(revenue_before)))
    return sorted(found, key=lambda each: (-each.customers, each.segment))


def _money(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"))


def _sample(session: Session, customers: sql.Composed, old: Rules, new: Rules, day: int) -> list[MovingCustomer]:
    """A sample of the customers who would move: the lowest hashes of ids, so the same sample each time."""
    same = [new.names.index(name) + 1 if name in new.names else 0 for name in old.names]
    query = sql.SQL(
        "SELECT mobile_id, {day} - last_day, frequency, (cents * 0.01)::numeric(14, 2), was, becomes,"
        " concat(r_score, f_score, m_score), CASE WHEN becomes IS NOT NULL THEN concat(r, f, m) END FROM {customers}"
        " WHERE becomes IS DISTINCT FROM ({same}::int[])[was] ORDER BY hashtext(mobile_id), mobile_id LIMIT {limit}"
    ).format(day=sql.Literal(day), same=sql.Literal(same), customers=customers, limit=sql.Literal(SAMPLE))
    moving = []
    for row in driver(session).execute(query).fetchall():
        mobile_id, recency, frequency, monetary, was, becomes, score, new_score = row
        names = _names(old, new, was, becomes)
        moving.append(MovingCustomer(mobile_id, recency, frequency, monetary, *names, score, new_score))
    return moving
