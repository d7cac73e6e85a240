"""Reading what is published: segments, their summary, and the menu. Never computes, never locks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from store.models import MenuResult, Published, Run

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
)


@dataclass(frozen=True)
class RankedDaypart:
    """A daypart with its ranked items, best first."""

    daytime_id: int
    label: str
    windows: list[tuple[int, int]]
    items: list[MenuResult]


def published(session: Session, kind: str) -> Published | None:
    """What is published of this kind, or None before the first time."""
    return session.get(Published, kind)


def segments(session: Session, segment: str | None = None, limit: int | None = None) -> Sequence[Row[Any]]:
    """Published customers in order of their ids, of one segment or all."""
    query = (
        f"SELECT {', '.join(SEGMENT_COLUMNS)} FROM rfm_segments"  # noqa: S608  # our own names
        " WHERE CAST(:segment AS text) IS NULL OR segment = :segment ORDER BY mobile_id LIMIT :limit"
    )
    return session.execute(text(query), {"segment": segment, "limit": limit}).all()


def summary(session: Session) -> Sequence[Row[Any]]:
    """Per segment: customers, share, revenue share, median recency, frequency and monetary; largest first.

    The revenue share is NULL where all revenue together is not above zero.
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


def menu(session: Session, at: time | None = None) -> list[RankedDaypart]:
    """The published dayparts in order of their ids, or the one that covers a time of day (none in a gap)."""
    found = session.execute(
        select(Published, Run).join(Run, Run.run_id == Published.run_id).where(Published.kind == "menu")
    ).first()
    if found is None or found.Run.plan is None:
        return []
    ranked = session.scalars(
        select(MenuResult)
        .where(MenuResult.generation == found.Published.generation)
        .order_by(MenuResult.daytime_id, MenuResult.rank)
    ).all()
    return [
        RankedDaypart(
            daypart["daytime_id"],
            daypart["label"],
            [(start, until) for start, until in daypart["windows"]],
            [row for row in ranked if row.daytime_id == daypart["daytime_id"]],
        )
        for daypart in found.Run.plan["dayparts"]
        if at is None or any(start <= _microseconds(at) < until for start, until in daypart["windows"])
    ]


def _microseconds(at: time) -> int:
    return ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000_000 + at.microsecond
