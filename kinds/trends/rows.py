"""Results of trends: series with their forecasts and weeks, and each series' trend."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from psycopg import sql
from sqlalchemy.orm import Session

from analytics.series import Fit, Key, Series, Span
from analytics.smoothing import Reals
from analytics.trends import WEEKS, Trends, Weekly
from kinds.arrays import RealArray
from kinds.trends import tallies
from kinds.trends.names import Names
from source.window import EPOCH, date_of
from store.database import driver

TABLES = (*tallies.TABLES, "metric_results", "metric_trend_results")
NOTHING = np.empty(0)


def save_fit(session: Session, generation: int, shard: int, series: Series, span: Span, fit: Fit, names: Names) -> None:
    """Store a shard's series with their forecasts and weeks."""
    starts = series.starts()
    weekly, found = fit.weekly, fit.forecasts
    rows = []
    for place, (metric, dimension) in enumerate(series.keys):
        enough = bool(fit.enough[place])
        rows.append(
            (
                generation,
                metric,
                dimension,
                shard,
                names.of(metric, dimension),
                date_of(span.first + int(starts[place])),
                series.values[place, starts[place] : span.complete],
                series.values[place, max(starts[place], span.complete) :],
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
    cursor = driver(session).cursor()
    cursor.adapters.register_dumper(np.ndarray, RealArray)
    with cursor.copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for row in rows:
            copy.write_row(row)


_COPY = """
COPY metric_results (generation, metric, dimension, shard, name, first_date, points, last_points, forecast_from,
  forecasts, lows, highs, methods, weeks, change, score, variance, autocorrelation, season_unknown, anomaly)
FROM STDIN (FORMAT binary)
"""
_TYPES = (
    *(
        "int8",
        "text",
        "text",
        "int4",
        "text",
        "date",
        "float8[]",
        "float8[]",
        "date",
        "float8[]",
        "float8[]",
        "float8[]",
        "int2[]",
    ),
    *("int4", "float8", "float8", "float8", "float8", "bool", "bool"),
)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def weekly(session: Session, generation: int, keys: Collection[Key] | None = None) -> tuple[list[Key], Weekly]:
    """A generation's series in order, all or those with these keys, and what their weeks tell."""
    query = sql.SQL(
        "SELECT metric, dimension, CASE WHEN score IS NULL THEN 0 ELSE weeks END, change, score, variance,"
        " autocorrelation, season_unknown FROM metric_results WHERE generation = %s AND {}"
        ' ORDER BY metric COLLATE "C", dimension COLLATE "C"'
    ).format(sql.SQL("true") if keys is None else _THESE)
    rows = driver(session).execute(query, [generation, *(() if keys is None else _columns(keys))]).fetchall()
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


def are_equal(one: tuple[list[Key], Weekly], other: tuple[list[Key], Weekly]) -> bool:
    """Whether two generations' series have the same weeks."""
    return one[0] == other[0] and all(
        np.array_equal(before, after, equal_nan=before.dtype.kind == "f")
        for before, after in zip(vars(one[1]).values(), vars(other[1]).values(), strict=True)
    )


def save_trends(session: Session, generation: int, keys: Sequence[Key], found: Trends) -> None:
    """Store each series' direction, p and q value; writes only what differs."""
    columns = (found.direction.tolist(), map(_number, found.p_value), map(_number, found.q_value))
    wanted = dict(zip(keys, zip(*columns, strict=True), strict=True))
    query = "SELECT metric, dimension, direction, p_value, q_value FROM metric_trend_results WHERE generation = %s"
    known = {
        (metric, dimension): tuple(rest) for metric, dimension, *rest in driver(session).execute(query, [generation])
    }
    delete(session, "metric_trend_results", generation, [key for key in known if wanted.get(key) != known[key]])
    rows = [(generation, *key, *values) for key, values in wanted.items() if known.get(key) != values]
    query = "COPY metric_trend_results (generation, metric, dimension, direction, p_value, q_value) FROM STDIN"
    with driver(session).cursor().copy(query) as copy:
        for row in rows:
            copy.write_row(row)


def first_days(session: Session, generation: int, shard: int) -> dict[Key, int]:
    """A shard's series, and the days since 2000-01-01 on which they begin."""
    query = "SELECT metric, dimension, first_date FROM metric_results WHERE generation = %s AND shard = %s"
    rows = driver(session).execute(query, [generation, shard]).fetchall()
    return {(metric, dimension): (first - EPOCH).days for metric, dimension, first in rows}


def points(session: Session, generation: int, metrics: Sequence[str]) -> dict[Key, tuple[int, Reals, Reals]]:
    """The series of these metrics: the days since 2000-01-01 on which they begin, their points, and the last ones."""
    query = (
        "SELECT metric, dimension, first_date, points, last_points FROM metric_results"
        " WHERE generation = %s AND metric = ANY(%s)"
    )
    rows = driver(session).execute(query, [generation, list(metrics)]).fetchall()
    return {
        (metric, dimension): ((first - EPOCH).days, *(np.array(each, dtype=np.float64) for each in points))
        for metric, dimension, first, *points in rows
    }


def set_last_points(session: Session, generation: int, found: Mapping[Key, Reals]) -> None:
    """Replace these series' points of the days that are not complete."""
    if not found:
        return
    ends = np.cumsum([len(each) for each in found.values()]).tolist()
    with driver(session).cursor() as cursor:
        cursor.adapters.register_dumper(np.ndarray, RealArray)
        cursor.execute(
            "UPDATE metric_results AS r SET last_points = (%s::float8[])[1 + start:until]"
            " FROM unnest(%s::text[], %s::text[], %s::int[], %s::int[]) AS found (metric, dimension, start, until)"
            " WHERE generation = %s AND (r.metric, r.dimension) = (found.metric, found.dimension)",
            [np.concatenate(list(found.values())), *_columns(found), [0, *ends[:-1]], ends, generation],
        )


def rename(session: Session, generation: int, names: Names) -> None:
    """Write the names of items that differ; dayparts have no others in an incremental run."""
    query = "SELECT metric, dimension, name FROM metric_results WHERE generation = %s"
    of_items = driver(session).execute(f"{query} AND metric = 'item_orders'", [generation])  # each item has one
    if all(name == names.of(*key) for *key, name in of_items):
        return
    rows = driver(session).execute(query, [generation]).fetchall()
    changed = [(now, generation, *key) for *key, name in rows if (now := names.of(*key)) != name]
    with driver(session).cursor() as cursor:
        cursor.executemany(
            "UPDATE metric_results SET name = %s WHERE generation = %s AND metric = %s AND dimension = %s", changed
        )


def delete(session: Session, table: str, generation: int, keys: Collection[Key]) -> None:
    """Delete these series' rows of a table."""
    if keys:
        query = sql.SQL("DELETE FROM {} WHERE generation = %s AND {}").format(sql.Identifier(table), _THESE)
        driver(session).execute(query, [generation, *_columns(keys)])


_THESE = sql.SQL("(metric, dimension) IN (SELECT * FROM unnest(%s::text[], %s::text[]))")


def _columns(keys: Collection[Key]) -> list[list[str]]:
    """The metrics and dimensions of `_THESE`."""
    return [[metric for metric, _ in keys], [dimension for _, dimension in keys]]


def discard(session: Session, generations: Sequence[int]) -> None:
    """Delete all rows of these generations; snapshots that still read them keep seeing them."""
    for table in TABLES:
        query = sql.SQL("DELETE FROM {} WHERE generation = ANY(%s)").format(sql.Identifier(table))
        driver(session).execute(query, [list(generations)])
