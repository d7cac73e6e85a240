"""Reading published segments: customers, their summary, and changes. Takes no row locks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from psycopg import sql
from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from analytics.scores import AVERAGE, Point
from kinds.rfm.models import Change, SegmentDay
from kinds.rfm.rules import measures, own_cut_points
from store.database import driver
from store.models import Published
from store.published import PublishedState, published
from store.queries import Query, exported

SEGMENT_COLUMNS = (
    "mobile_id",
    "recency_days",
    "frequency",
    "monetary",
    "r_score",
    "f_score",
    "m_score",
    "rfm_score",
    "segment",
    "run_id",
    "computed_at",
    "first_purchase_at",
)
CHANGE_COLUMNS = ("change_id", "run_id", "mobile_id", "from_segment", "to_segment", "changed_at", "reason")
HISTORY_COLUMNS = ("business_date", "segment", "customers", "revenue", "run_id")

_FIFTHS = {"recency_days": 5, "frequency": 5, "monetary": 500}  # stored cut points ÷ this = days, purchases, money


def segment_names(state: PublishedState) -> list[str]:
    """The names of the published run's segment map."""
    return sorted(set((state.run.plan or {})["segments"]))


def segment_named(names: Sequence[str], wanted: str) -> str | None:
    """The name that equals `wanted` without case; if two differ only in case, the exact one."""
    found = [name for name in names if name.casefold() == wanted.casefold()]
    return wanted if wanted in names else found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class CutPoints:
    """A measure's cut points: quintiles, empty without customers, or the map's own."""

    own: bool
    average: bool  # of the average per purchase instead of the total
    values: list[Fraction]


def cut_points(state: PublishedState) -> dict[str, CutPoints]:
    """The cut points of `recency_days` in days, of `frequency`, and of `monetary` in money."""
    plan = state.run.plan or {}
    return shown_cut_points(measures(plan), (state.run.counts or {})["cut_points"], own_cut_points(plan))


def shown_cut_points(
    measures: Sequence[str], points: Mapping[str, Sequence[Point]], own: Iterable[str]
) -> dict[str, CutPoints]:
    """Stored cut points by measure, converted to days, purchases and money."""
    found = {}
    for (name, fifths), measure in zip(_FIFTHS.items(), measures, strict=True):
        values = [Fraction(point) / fifths for point in points.get(measure, [])]
        found[name] = CutPoints(measure in own, measure == AVERAGE, values)
    return found


def published_customers(generation: int) -> sql.Composed:
    """The customers of a generation's results, as a query."""
    query = sql.SQL("SELECT last_day, frequency, cents FROM rfm_results WHERE generation = {}")
    return query.format(sql.Literal(generation))


def numbered_segments(session: Session) -> tuple[list[str], sql.Composed | None]:
    """The names of the published segments, and a query for customers with the numbers of their segments, from 1."""
    state = published(session, "rfm")
    if state is None:
        return [], None
    query = sql.SQL("SELECT mobile_id, segment_number FROM rfm_results WHERE generation = {}")
    return list(state.run.segment_names or ()), query.format(sql.Literal(state.generation))


def segment_numbers(session: Session, mobile_ids: Sequence[str]) -> dict[str, int]:
    """The numbers of these customers' published segments, of those who have one."""
    _, query = numbered_segments(session)
    if query is None:
        return {}
    mine = sql.SQL("{} AND mobile_id = ANY(%s)").format(query)
    return dict(driver(session).execute(mine, [list(mobile_ids)]).fetchall())


def other_segments(session: Session, known: sql.Composable) -> dict[str, int]:
    """Of customers with segment numbers, those with another published segment; 0 is none."""
    _, query = numbered_segments(session)
    now = query or sql.SQL("SELECT NULL::text, NULL::smallint WHERE false")
    changed = sql.SQL(
        "SELECT known.id, coalesce(number, 0) FROM ({}) AS known (id, segment)"
        " LEFT JOIN ({}) AS now (mobile_id, number) ON mobile_id = id WHERE known.segment <> coalesce(number, 0)"
    )
    return dict(driver(session).execute(changed.format(known, now)).fetchall())


def segments(
    session: Session, segment: str | None = None, *, after: str | None = None, limit: int | None = None
) -> Sequence[Row[Any]]:
    """Published customers in order of their ids, of one segment or all, from the one that follows `after`."""
    wanted = [
        *(["segment = :segment"] if segment is not None else []),
        *(["mobile_id > :after"] if after is not None else []),
    ]
    query = (
        f"SELECT {', '.join(SEGMENT_COLUMNS)} FROM rfm_segments"  # noqa: S608  # our own names
        f" {'WHERE' if wanted else ''} {' AND '.join(wanted)} ORDER BY mobile_id LIMIT :limit"
    )
    return session.execute(text(query), {"segment": segment, "after": after, "limit": limit}).all()


def customer(session: Session, mobile_id: str) -> Row[Any] | None:
    """One published customer."""
    query = f"SELECT {', '.join(SEGMENT_COLUMNS)} FROM rfm_segments WHERE mobile_id = :id"  # noqa: S608  # our own names
    return session.execute(text(query), {"id": mobile_id}).first()


def summary(session: Session) -> Sequence[Row[Any]]:
    """Per segment: customers, share, revenue share, median recency, frequency and monetary; largest first.

    The revenue share is NULL if the total revenue is not above zero.
    """
    return session.execute(
        text(
            "SELECT segment, count(*) AS customers,"
            " count(*)::float / sum(count(*)) OVER () AS share,"
            " sum(monetary)::float / CASE WHEN sum(sum(monetary)) OVER () > 0 THEN sum(sum(monetary)) OVER () END"
            "   AS revenue_share,"
            " percentile_cont(0.5) WITHIN GROUP (ORDER BY recency_days) AS median_recency_days,"
            " percentile_cont(0.5) WITHIN GROUP (ORDER BY frequency) AS median_frequency,"
            " percentile_cont(0.5) WITHIN GROUP (ORDER BY monetary::float) AS median_monetary"
            " FROM rfm_segments GROUP BY segment ORDER BY customers DESC, segment"
        )
    ).all()


def segment_days(session: Session) -> Sequence[Row[date, str, int, Decimal]]:
    """Every business date and segment with its customers and their revenue, in this order."""
    columns = (SegmentDay.business_date, SegmentDay.segment, SegmentDay.customers, SegmentDay.revenue)
    return session.execute(select(*columns).order_by(SegmentDay.business_date, SegmentDay.segment)).all()


def segments_on(session: Session, day: date, within: int = 7) -> dict[str, SegmentDay]:
    """Each segment on the newest business day that is known up to `day`, at most `within` days before it."""
    known = SegmentDay.business_date.between(day - timedelta(days=within - 1), day)
    newest = select(func.max(SegmentDay.business_date)).where(known).scalar_subquery()
    rows = session.scalars(select(SegmentDay).where(SegmentDay.business_date == newest))
    return {row.segment: row for row in rows}


def last_change_id(session: Session) -> int:
    """The newest change's id; 0 before the first."""
    return session.scalars(select(func.coalesce(func.max(Change.change_id), 0))).one()


def changes_after(session: Session, change_id: int | None, limit: int) -> Sequence[Change] | None:
    """The changes after a known one, or all stored ones; None if some of them were deleted."""
    dropped_to = session.scalars(select(Published.changes_dropped_to).where(Published.kind == "rfm")).first() or 0
    if change_id is not None and change_id < dropped_to:
        return None
    query = select(Change).where(Change.change_id > (change_id or 0)).order_by(Change.change_id).limit(limit)
    return session.scalars(query).all()


def last_change_of(session: Session, mobile_id: str) -> Change | None:
    """The customer's newest stored change."""
    query = select(Change).where(Change.mobile_id == mobile_id).order_by(Change.change_id.desc()).limit(1)
    return session.scalars(query).first()


def changes_of(session: Session, mobile_id: str, limit: int) -> Sequence[Change]:
    """The customer's moves that are kept, newest first."""
    query = select(Change).where(Change.mobile_id == mobile_id).order_by(Change.change_id.desc()).limit(limit)
    return session.scalars(query).all()


def exported_changes(after: int | None) -> Query:
    """The stored changes after one, or all, oldest first."""
    return exported("segment_changes", CHANGE_COLUMNS, "change_id", {"change_id > {}": after})


def exported_history(segment: str | None, first: date | None, last: date | None) -> Query:
    """Customers and revenue of a segment, or of all, by business date and segment."""
    conditions = {"segment = {}": segment, "business_date >= {}": first, "business_date <= {}": last}
    return exported("segment_history", HISTORY_COLUMNS, "business_date, segment", conditions)
