"""The rows of trends: counts per business day, cohorts, series with their forecasts, and trends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy.orm import Session

from analytics.daily import EMPTY, HOUR_ORDERS, HOUR_REVENUE, ITEM_ORDERS, ITEM_REVENUE
from analytics.series import Fit, Key, Series, Span
from analytics.trends import WEEKS, Trends, Weekly
from kinds.trends import plan as planning
from kinds.trends.arrays import FloatsDumper
from source.window import EPOCH, date_of
from store.database import driver
from store.models import Part, Run

Whole = NDArray[np.int64]
TABLES = ("metric_tallies", "metric_hour_tallies", "metric_cohort_tallies", "metric_results", "metric_trend_results")
FIRST_DAY = (date(1900, 1, 1) - EPOCH).days  # what is dated before is no business day
_CELL = np.dtype("<i8")
NOTHING = np.empty(0)


def save_cells(session: Session, run: Run, part: Part, cells: Whole) -> None:
    """Store cells (day, metric, first, second, value), a row for each shard of series and business day."""
    assert run.plan is not None
    cells = cells[cells[:, 0] >= FIRST_DAY]
    of_hour = np.isin(cells[:, 1], (HOUR_ORDERS, HOUR_REVENUE))
    _save_hours(session, run, part, cells[of_hour])
    cells = cells[~of_hour]
    of_item = np.isin(cells[:, 1], (ITEM_ORDERS, ITEM_REVENUE))
    shard = np.where(of_item, planning.shard_of(run.plan, cells[:, 2]), planning.TOTALS_SHARD)
    order = np.lexsort((cells[:, 0], shard))
    cells, shard = cells[order], shard[order]
    opens = np.ones(len(cells), dtype=bool)
    opens[1:] = (np.diff(shard) != 0) | (np.diff(cells[:, 0]) != 0)
    starts = np.flatnonzero(opens)
    rows = [
        (
            run.generation,
            int(of_shard),
            date_of(int(its[0, 0])),
            part.stage,
            part.part,
            its[:, 1:].astype(_CELL).tobytes(),
        )
        for of_shard, its in zip(shard[starts], np.split(cells, starts[1:]), strict=False)
        if len(its)
    ]
    with driver(session).cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metric_tallies (generation, shard, business_date, stage, part, cells)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            rows,
        )


def _save_hours(session: Session, run: Run, part: Part, cells: Whole) -> None:
    found: dict[tuple[int, int, int], list[int]] = {}
    for day, metric, hour, later, value in cells.tolist():
        found.setdefault((day, hour, later), [0, 0])[metric - HOUR_ORDERS] = value
    with (
        driver(session)
        .cursor()
        .copy(
            "COPY metric_hour_tallies (generation, business_date, hour, later, part, orders, cents) FROM STDIN"
        ) as copy
    ):
        for (day, hour, later), values in found.items():
            copy.write_row((run.generation, date_of(day), hour, later, part.part, *values))


def cells(session: Session, generation: int, shard: int, *, since: date | None = None) -> Whole:
    """A shard's cells (day, metric, first, second, value), those of one day maybe in several parts."""
    query = (
        "SELECT business_date, cells FROM metric_tallies WHERE generation = %s AND shard = %s AND business_date >= %s"
    )
    found = [EMPTY]
    for business_date, stored in driver(session).execute(query, [generation, shard, since or date.min], binary=True):
        values = np.frombuffer(stored, dtype=_CELL).reshape(-1, EMPTY.shape[1] - 1)
        days = np.full((len(values), 1), (business_date - EPOCH).days)
        found.append(np.concatenate([days, values.astype(np.int64)], axis=1))
    return np.concatenate(found)


def save_cohorts(session: Session, run: Run, part: Part, cohorts: Whole) -> None:
    """Store rows of analytics/visits.py's COHORT_COLUMNS."""
    rows = [
        (run.generation, _month(cohort), _month(month), part.part, customers, cents)
        for cohort, month, customers, cents in cohorts.tolist()
    ]
    with driver(session).cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metric_cohort_tallies (generation, cohort, month, part, customers, cents)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            rows,
        )


def _month(months: int) -> date:
    """The first day of a month, counted from 2000-01."""
    return date(2000 + months // 12, months % 12 + 1, 1)


def save_fit(
    session: Session, run: Run, shard: int, series: Series, span: Span, fit: Fit, names: Mapping[Key, str | None]
) -> None:
    """Store a shard's series with their forecasts and weeks."""
    starts = series.starts()
    weekly, found = fit.weekly, fit.forecasts
    rows = []
    for place, (metric, dimension) in enumerate(series.keys):
        enough = bool(fit.enough[place])
        rows.append(
            (
                run.generation,
                metric,
                dimension,
                shard,
                names[metric, dimension],
                date_of(span.first + int(starts[place])),
                series.values[place, starts[place] :],
                date_of(span.last_complete + 1) if enough else None,
                *(part[place] if enough else NOTHING for part in (found.forecast, found.low, found.high)),
                (found.method[place] + 1).tolist() if enough else [],
                int(weekly.weeks[place]) or int(min(fit.known_weeks[place], WEEKS)),
                *(_number(column[place]) for column in (weekly.change, weekly.score, weekly.variance)),
                _number(weekly.autocorrelation[place]),
                bool(weekly.season_unknown[place]),
                bool(fit.anomaly[place]),
            )
        )
    with driver(session).cursor() as cursor:
        cursor.adapters.register_dumper(np.ndarray, FloatsDumper)
        cursor.executemany(_INSERT, rows)


_INSERT = """
INSERT INTO metric_results (generation, metric, dimension, shard, name, first_date, points, forecast_from,
  forecasts, lows, highs, methods, weeks, change, score, variance, autocorrelation, season_unknown, anomaly)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def weekly(session: Session, generation: int) -> tuple[list[Key], Weekly]:
    """All series of a generation in order, and what their weeks tell."""
    rows = (
        driver(session)
        .execute(
            "SELECT metric, dimension, CASE WHEN score IS NULL THEN 0 ELSE weeks END, change, score, variance,"
            " autocorrelation, season_unknown FROM metric_results WHERE generation = %s"
            ' ORDER BY metric COLLATE "C", dimension COLLATE "C"',
            [generation],
        )
        .fetchall()
    )
    columns = list(zip(*rows, strict=True)) if rows else [()] * 8
    numbers = [np.array([np.nan if one is None else one for one in column]) for column in columns[3:7]]
    return list(zip(columns[0], columns[1], strict=True)), Weekly(
        np.array(columns[2], dtype=np.int64),
        change=numbers[0],
        score=numbers[1],
        variance=numbers[2],
        autocorrelation=numbers[3],
        season_unknown=np.array(columns[7], dtype=bool),
    )


def save_trends(session: Session, generation: int, keys: Sequence[Key], found: Trends) -> None:
    """Store each series' direction, p and q value."""
    rows = [
        (generation, *key, str(direction), _number(p_value), _number(q_value))
        for key, direction, p_value, q_value in zip(keys, found.direction, found.p_value, found.q_value, strict=True)
    ]
    with driver(session).cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metric_trend_results (generation, metric, dimension, direction, p_value, q_value)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            rows,
        )


def discard(session: Session, generations: Sequence[int]) -> None:
    """Delete all rows of these generations; snapshots that still read them keep seeing them."""
    for table in TABLES:
        query = sql.SQL("DELETE FROM {} WHERE generation = ANY(%s)").format(sql.Identifier(table))
        driver(session).execute(query, [list(generations)])
