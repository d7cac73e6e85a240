"""Reading what is published: segments, their summary, and the menu. Never computes, never locks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from store.models import MenuResult, Published, Run, Total

MINUTE = 60_000_000
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
class PublishedState:
    """What readers see now of a kind: the run that last wrote to it, and what its numbers were held against."""

    run: Run
    as_of: datetime
    generation: int
    changes_dropped_to: int
    forgotten: int  # customers, ever

    @property
    def tag(self) -> str:
        """What changes with whatever readers see."""
        return f"{self.run.kind}-{self.run.run_id}-{self.forgotten}"

    @property
    def segments(self) -> list[str]:
        """The names that the segment map knows."""
        return sorted(set((self.run.plan or {})["segments"]))

    @property
    def cut_points(self) -> dict[str, list[int]]:
        """Five times the cut points of each measure; empty where there are no customers."""
        return dict((self.run.counts or {})["cut_points"])


@dataclass(frozen=True)
class RankedDaypart:
    """A daypart with its ranked items, best first; `windows` as stretches of a day in microseconds."""

    daytime_id: int
    label: str
    windows: list[tuple[int, int]]
    items: list[MenuResult]

    @property
    def start_time(self) -> str:
        """Its first minute, HH:MM."""
        return _minute(self.windows[0][0])

    @property
    def end_time(self) -> str:
        """Its last minute, HH:MM."""
        return _minute(self.windows[-1][1] - MINUTE)


def _minute(microseconds: int) -> str:
    return f"{microseconds // MINUTE // 60:02}:{microseconds // MINUTE % 60:02}"


def published(session: Session, kind: str) -> PublishedState | None:
    """What is published of this kind, or None before the first time."""
    forgotten = select(Total.value).where(Total.name == "forgotten").scalar_subquery()
    query = select(Published, Run, forgotten.label("forgotten")).join(Run, Run.run_id == Published.run_id)
    found = session.execute(query.where(Published.kind == kind)).first()
    if found is None:
        return None
    state: Published = found.Published
    return PublishedState(found.Run, state.as_of, state.generation, state.changes_dropped_to, int(found.forgotten or 0))


@dataclass(frozen=True)
class Figure:
    """A number of this moment: what it is, what it is of, and the label that says so."""

    name: str
    told: str
    label: str
    of: str
    value: float


_STATES = (
    (
        "published_age_seconds",
        "Age of the published results.",
        "kind",
        "SELECT kind, extract(epoch FROM now() - published_at) FROM analytics_published",
    ),
    (
        "runs_unfinished",
        "Runs that wait or work.",
        "status",
        "SELECT s, (SELECT count(*) FROM analytics_runs WHERE status = s)"
        " FROM unnest(ARRAY['pending', 'running']) AS s",
    ),
    (
        "oldest_unfinished_run_seconds",
        "Age of the oldest run that waits or works; 0 where there is none.",
        "kind",
        "SELECT k, coalesce((SELECT extract(epoch FROM now() - min(requested_at)) FROM analytics_runs"
        " WHERE kind = k AND status IN ('pending', 'running')), 0) FROM unnest(ARRAY['rfm', 'menu']) AS k",
    ),
    (
        "events_kept",
        "Outgoing events that are remembered, by how far they are.",
        "state",
        "SELECT s, (SELECT count(*) FROM analytics_events WHERE state = s)"
        " FROM unnest(ARRAY['waiting', 'delivered', 'failed', 'gone']) AS s",
    ),
)


def states(session: Session) -> list[Figure]:
    """What an operator wants to see of this moment."""
    return [
        Figure(name, told, label, of, float(value))
        for name, told, label, query in _STATES
        for of, value in session.execute(text(query))
    ]


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
    state = published(session, "menu")
    if state is None or state.run.plan is None:
        return []
    wanted = [
        daypart
        for daypart in state.run.plan["dayparts"]
        if at is None or any(start <= _microseconds(at) < until for start, until in daypart["windows"])
    ]
    ids = [daypart["daytime_id"] for daypart in wanted]
    ranked: dict[int, list[MenuResult]] = {daytime_id: [] for daytime_id in ids}
    for row in session.scalars(
        select(MenuResult)
        .where(MenuResult.generation == state.generation, MenuResult.daytime_id.in_(ids))
        .order_by(MenuResult.daytime_id, MenuResult.rank)
    ):
        ranked[row.daytime_id].append(row)
    return [
        RankedDaypart(
            daypart["daytime_id"],
            daypart["label"],
            [(start, until) for start, until in daypart["windows"]],
            ranked[daypart["daytime_id"]],
        )
        for daypart in wanted
    ]


def _microseconds(at: time) -> int:
    return ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000_000 + at.microsecond
