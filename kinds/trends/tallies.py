"""Tallies: what a run's parts have counted, as rows per business day; cells, hours and cohorts.

An incremental run counts some days anew and puts them in place of the published ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy.orm import Session

from analytics.cells import COLUMNS, EMPTY, HOUR_ORDERS, HOUR_REVENUE, ITEM_ORDERS, ITEM_REVENUE, difference, distinct
from kinds.arrays import WholeArray
from kinds.bulk import copy_columns
from kinds.trends import plan as planning
from source.window import EPOCH, date_of
from store.database import driver
from store.models import Part, Run

Whole = NDArray[np.int64]
TABLES = ("metric_tallies", "metric_hour_tallies", "metric_cohort_tallies")
_NAMES = COLUMNS[1:]
HOURS, DATES = 24, 2  # of a day; that a business day may have

# Which tallies of the published generation an incremental run replaces.
_DAYS = "generation = %(published)s AND (%(everything)s OR business_date = ANY(%(days)s::date[]))"
_FROM = "generation = %(published)s AND business_date >= %(visits_from)s::date"
_REPLACED = {
    "metric_tallies": f"stage = 'tally' AND {_DAYS} OR stage = 'visits' AND {_FROM}",
    "metric_hour_tallies": _DAYS,
    "metric_cohort_tallies": _FROM,
}


def save_cells(session: Session, run: Run, part: Part, cells: Whole) -> None:
    """Store cells, a row for each shard of series and business day."""
    assert run.plan is not None
    cells = cells[cells[:, 0] >= planning.FIRST_DAY]
    of_hour = np.isin(cells[:, 1], (HOUR_ORDERS, HOUR_REVENUE))
    _save_hours(session, run, part, cells[of_hour])
    cells = cells[~of_hour]
    of_item = np.isin(cells[:, 1], (ITEM_ORDERS, ITEM_REVENUE))
    shard = np.where(of_item, planning.shard_of(run.plan, cells[:, 2]), planning.TOTALS_SHARD)
    order = np.lexsort((cells[:, 0], shard))
    cells, shard = cells[order], shard[order]
    header, packed = _packed(cells)
    opens = np.append(True, (np.diff(shard) != 0) | (np.diff(cells[:, 0]) != 0))[: len(cells)]
    starts = np.flatnonzero(opens)
    ends = [*starts[1:].tolist(), len(cells)]
    days = cells[starts, 0].tolist()
    query = "COPY metric_tallies (generation, shard, business_date, stage, part, cells) FROM STDIN (FORMAT binary)"
    with driver(session).cursor().copy(query) as copy:
        copy.set_types(["int8", "int4", "date", "text", "int4", "bytea"])
        for of_shard, day, start, end in zip(shard[starts].tolist(), days, starts.tolist(), ends, strict=False):
            stored = header + packed[start:end].tobytes()
            copy.write_row((run.generation, of_shard, date_of(day), part.stage, part.part, stored))


def _packed(cells: Whole) -> tuple[bytes, NDArray[np.void]]:
    """The cells without their days, in as few bytes as hold all of each column; and what says how many these are."""
    columns = cells[:, 1:].T
    sizes = [_bytes(int(column.min()), int(column.max())) if len(column) else 1 for column in columns]
    packed = np.empty(len(cells), dtype=_record(sizes))
    for name, column in zip(_NAMES, columns, strict=True):
        packed[name] = column
    return bytes(sizes), packed


def _bytes(least: int, most: int) -> int:
    return next(size for size in (1, 2, 4, 8) if -(1 << 8 * size - 1) <= least and most < 1 << 8 * size - 1)


def _record(sizes: Iterable[int]) -> np.dtype[np.void]:
    return np.dtype([(name, f"<i{size}") for name, size in zip(_NAMES, sizes, strict=True)])


def _save_hours(session: Session, run: Run, part: Part, cells: Whole) -> None:
    place, found = distinct((cells[:, 0] * HOURS + cells[:, 2]) * DATES + cells[:, 3])
    orders, cents = np.zeros((2, len(found)), dtype=np.int64)
    for metric, values in ((HOUR_ORDERS, orders), (HOUR_REVENUE, cents)):
        its = cells[:, 1] == metric
        np.add.at(values, place[its], cells[its, 4])
    rest, later = np.divmod(found, DATES)
    columns = {
        "generation": np.full(len(found), run.generation),
        "business_date": (rest // HOURS).astype(np.int32),
        "hour": (rest % HOURS).astype(np.int16),
        "later": later.astype(np.int16),
        "part": np.full(len(found), part.part, dtype=np.int32),
        "orders": orders,
        "cents": cents,
    }
    copy_columns(session, sql.Identifier("metric_hour_tallies"), columns)


def save_cohorts(session: Session, run: Run, part: Part, cohorts: Whole) -> None:
    """Store rows of analytics/visits.py's COHORT_COLUMNS, which are in order of their days."""
    if not len(cohorts):
        return
    opens = np.flatnonzero(np.diff(cohorts[:, 0])) + 1
    days = cohorts[np.append(0, opens), 0].tolist()
    columns = (np.split(column, opens) for column in cohorts[:, 1:].T)
    cursor = driver(session).cursor()
    cursor.adapters.register_dumper(np.ndarray, WholeArray)
    names = "generation, business_date, part, cohorts, customers, cents"
    with cursor.copy(f"COPY metric_cohort_tallies ({names}) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int8", "date", "int4", "int8[]", "int8[]", "int8[]"])
        for day, *its in zip(days, *columns, strict=True):
            copy.write_row((run.generation, date_of(day), part.part, *its))


def cells(
    session: Session, generation: int, shard: int, *, since: int | None = None, stage: str | None = None
) -> Whole:
    """A shard's cells, those of one day maybe in several parts; with `since` those from this day on."""
    query = (
        "SELECT business_date, cells FROM metric_tallies"
        " WHERE generation = %s AND shard = %s AND business_date >= %s AND stage = coalesce(%s, stage)"
    )
    first = date.min if since is None else date_of(since)
    return _cells(driver(session).execute(query, [generation, shard, first, stage], binary=True))


def _cells(rows: Iterable[tuple[date, bytes]]) -> Whole:
    packed: dict[bytes, list[tuple[int, bytes]]] = {}
    for business_date, stored in rows:
        packed.setdefault(stored[: len(_NAMES)], []).append(((business_date - EPOCH).days, stored[len(_NAMES) :]))
    found = [EMPTY]
    for header, its in packed.items():
        record = _record(header)
        values = np.frombuffer(b"".join(stored for _, stored in its), dtype=record)
        days = np.repeat([day for day, _ in its], [len(stored) // record.itemsize for _, stored in its])
        found.append(np.stack([days, *(values[name] for name in _NAMES)], axis=1).astype(np.int64))
    return np.concatenate(found)


def replace(session: Session, run: Run) -> Mapping[int, Whole]:
    """Put an incremental run's tallies in place of the published ones; returns the cells that differ, by shard."""
    assert run.plan is not None
    connection, names = driver(session), _names(run)
    shards = range(run.plan["item_shards"] + 1)
    counted = {shard: cells(session, run.generation, shard) for shard in shards}
    gone: dict[int, list[tuple[date, bytes]]] = {shard: [] for shard in shards}
    for table, replaced in _REPLACED.items():
        returning = " RETURNING shard, business_date, cells" if table == "metric_tallies" else ""
        query = f"DELETE FROM {table} WHERE {replaced}{returning}"  # noqa: S608  # our own names
        deleted = connection.execute(query, names, binary=True)
        for shard, *row in deleted if returning else ():
            gone[shard].append((row[0], row[1]))
        connection.execute(
            sql.SQL("UPDATE {} SET generation = %(published)s WHERE generation = %(mine)s").format(
                sql.Identifier(table)
            ),
            names,
        )
    return {shard: difference(counted[shard], _cells(gone[shard])) for shard in shards}


def _names(run: Run) -> dict[str, Any]:
    assert run.plan is not None
    return {
        "published": run.plan["since"]["generation"],
        "mine": run.generation,
        "everything": run.plan["recompute_all"],
        "days": run.plan["days"],
        "visits_from": run.plan["visits_from"] or date.max,
    }
