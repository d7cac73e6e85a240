"""`segment_history`: how many customers each segment had on each business day, and what they had spent.

A run writes its own day when it is published. Past days are computed on request: as a full run with that day's end as
its `as_of` would, but nothing else of it is kept.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import sql
from sqlalchemy import delete, insert, select, text
from sqlalchemy.orm import Session

from kinds.bulk import insert_from_source
from kinds.rfm import cells
from kinds.rfm import plan as planning
from kinds.rfm.models import SegmentDay
from kinds.rfm.quantiles import exact_cut_points
from kinds.rfm.rows import aggregate_query
from kinds.rfm.rules import measures, own_cut_points, rules
from postgres import scalar
from settings import Settings
from source import reading
from source.window import local_time, today, use_time_zone
from store.database import driver
from store.published import PublishedState

_PAST = """
INSERT INTO segment_history (business_date, segment, customers, revenue)
SELECT {day}, {segment}, count(*), sum(cents) * 0.01
FROM (SELECT *, {scores} FROM rfm_past WHERE frequency > 0 OFFSET 0) AS scored GROUP BY 2
ON CONFLICT DO NOTHING
"""


def save(session: Session, state: PublishedState) -> None:
    """Write the segments under the business date of the run that has just been published.

    One with an `as_of` of its own writes nothing.
    """
    run = state.run
    assert run.plan is not None
    if run.as_of_given:
        return
    day = date.fromisoformat(run.plan["business_date"])
    session.execute(delete(SegmentDay).where(SegmentDay.business_date == day))
    of_run = {"business_date": day, "run_id": run.run_id}
    found = [
        of_run | {"segment": segment, "customers": total.customers, "revenue": total.revenue}
        for segment, total in cells.by_segment(state, cells.cells(session, state)).items()
    ]
    if found:
        session.execute(insert(SegmentDay), found)


def known_days(session: Session) -> set[date]:
    """The business days that have been written."""
    return set(session.scalars(select(SegmentDay.business_date).distinct()))


def first_day(settings: Settings) -> date | None:
    """The local date of the first order of a known customer; None where there is none."""
    plan = {"timezone": settings.timezone}
    with reading.connect(settings.source_database_url) as crm:
        use_time_zone(crm, plan)
        query = sql.SQL("SELECT {}::date").format(
            local_time(
                sql.SQL(
                    "(SELECT min(created_at) FROM fact_transactions WHERE isfinite(created_at) AND mobile_id <> '')"
                )
            )
        )
        found: date | None = scalar(crm, query)
        return found


def compute(session: Session, settings: Settings, day: date) -> int:
    """Compute the segments at the end of a past business day and write them, unless they are known; how many."""
    with reading.connect(settings.source_database_url) as crm:
        plan = planning.plan(settings, crm) | _end_of(settings, day)
    connection = driver(session)
    connection.execute(
        "CREATE TEMP TABLE rfm_past (mobile_id text, last_day int, frequency int, cents bigint,"
        " used bigint, skipped bigint, first_purchase_at timestamptz) ON COMMIT DROP"
    )
    nothing = sql.SQL("SELECT NULL::text[], NULL::text").format()
    query = aggregate_query(plan, sql.SQL("mobile_id IS NOT NULL"))
    insert_from_source(
        session, settings.source_database_url, plan, query, sql.Identifier("rfm_past"), nothing, _read_and_leave
    )
    count = int(scalar(connection, "SELECT count(*) FROM rfm_past WHERE frequency > 0"))
    own = own_cut_points(plan)
    quintiles = [measure for measure in measures(plan) if measure not in own]
    customers = sql.SQL("SELECT last_day, frequency, cents FROM rfm_past WHERE frequency > 0")
    points = exact_cut_points(session, customers, count, quintiles, today(plan))[1] | own
    scored = rules(points, plan["segments"], today(plan))
    return connection.execute(
        sql.SQL(_PAST).format(
            day=sql.Literal(day), segment=scored.named(scored.segment_number()), scores=scored.columns()
        )
    ).rowcount


def _read_and_leave(newest: sql.Composed) -> sql.Composed:
    return newest


def _end_of(settings: Settings, day: date) -> dict[str, Any]:
    """What a run's plan says of its time, for the last instant of a business day."""
    start: time = settings.business_day_start
    next_day = datetime.combine(day + timedelta(days=1), start, ZoneInfo(settings.timezone))
    return {
        "as_of": (next_day.astimezone(UTC) - timedelta(microseconds=1)).isoformat(),
        "timezone": settings.timezone,
        "business_day_start": start.isoformat("minutes"),
        "business_date": day.isoformat(),
        "source_is_ours": settings.source_is_ours,
    }


def unfinished_runs(session: Session) -> int:
    """How many runs of any kind wait or work, which go first."""
    query = "SELECT count(*) FROM analytics_runs WHERE status IN ('pending', 'running')"
    return int(session.execute(text(query)).scalar_one())
