"""Key ranges that divide a source table about evenly; each part of a run reads one of them."""

from __future__ import annotations

import itertools
import math
import os
from typing import Protocol

from psycopg import sql

from postgres import scalar
from source.reading import Connection

SAMPLE_ROWS, SAMPLE_PAGES = 10_000, 1_000
MOST_ROWS_OF_A_PAGE = 291


class KeyRange(Protocol):
    """A half-open range of keys, as text; None is an open end."""

    lower: str | None
    upper: str | None


def key_ranges(
    source: Connection, column: str, wanted: int | None, *, indexed: bool
) -> list[tuple[str | None, str | None]]:
    """Bounds of about even ranges of `fact_transactions` by `column`: `wanted` ranges, or a number by table size."""
    rows = estimated_rows(source, "fact_transactions")
    ranges = wanted or default_ranges(rows, indexed=indexed)
    edges = [None, *bounds(source, "fact_transactions", column, rows, ranges), None]
    return list(itertools.pairwise(edges))


def estimated_rows(source: Connection, table: str) -> int:
    """The approximate number of rows: PostgreSQL's estimate, or a count if there is none."""
    kind, estimate, pages = source.execute(
        "SELECT relkind, reltuples::bigint, relpages FROM pg_class WHERE oid = to_regclass(%s)", [table]
    ).fetchone() or ("v", -1, 0)
    if kind in ("r", "m") and estimate >= 0 and pages > 0:
        return int(estimate)
    return int(scalar(source, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))))


def has_index(source: Connection, table: str, column: str) -> bool:
    """Whether a range of `column` can be read without reading the rest of the table."""
    return bool(
        scalar(
            source,
            "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
            " AND a.attnum = i.indkey[0] WHERE i.indrelid = to_regclass(%s) AND a.attname = %s"
            " AND i.indisvalid AND i.indpred IS NULL)",
            table,
            column,
        )
    )


def default_ranges(rows: int, *, indexed: bool) -> int:
    """The number of key ranges: 1 up to 40,000 rows, 6 at a million, 16 at ten million.

    More than processes, so that the last one ends soon after the others, and few enough that a task's overhead is
    small; an even number, since most processor counts are even. Without an index every range scans the whole table, so
    there are at most as many as processors.
    """
    root = math.sqrt(rows / 40_000)
    wanted = 1 if root <= 1 else 2 * math.ceil(root / 2)
    return wanted if indexed else min(wanted, os.cpu_count() or 1)


def bounds(source: Connection, table: str, column: str, rows: int, ranges: int) -> list[str]:
    """At most `ranges` - 1 increasing values, as text, that divide the table's rows about evenly by `column`.

    From a sample, in the column's collation; equal values are always in the same range.
    """
    if ranges <= 1 or rows == 0:
        return []
    fractions = [number / ranges for number in range(1, ranges)]
    query = sql.SQL(
        "SELECT percentile_disc({fractions}::float8[]) WITHIN GROUP (ORDER BY {column})::text[]"
        " FROM {table} WHERE {column} IS NOT NULL AND {sampled}"
    ).format(
        fractions=sql.Literal(fractions),
        column=sql.Identifier(column),
        table=sql.Identifier(table),
        sampled=_sampled(source, table, rows),
    )
    found = scalar(source, query)
    return list(dict.fromkeys(found or []))


def _sampled(source: Connection, table: str, rows: int) -> sql.Composable:
    """The SQL condition that selects a sample of about ten thousand rows.

    From a table, the first rows of equidistant pages: ids mostly rise with the pages, so these are about equidistant
    ids, unlike random pages. Views and partitioned tables have no pages; there, random rows.
    """
    kind, pages = source.execute(
        "SELECT relkind::text, pg_relation_size(oid) / current_setting('block_size')::int"
        " FROM pg_class WHERE oid = to_regclass(%s)",
        [table],
    ).fetchone() or ("v", 0)
    if kind not in ("r", "m"):
        return sql.SQL("random() <= {}").format(sql.Literal(min(1.0, SAMPLE_ROWS / rows)))
    step = pages // SAMPLE_PAGES + 1
    return sql.SQL(
        "ctid = ANY (ARRAY(SELECT format('(%s,%s)', page, place)::tid"
        " FROM generate_series(0, {last}, {step}) AS page, generate_series(1, {places}) AS place))"
    ).format(
        last=sql.Literal(pages - 1),
        step=sql.Literal(step),
        places=sql.Literal(min(MOST_ROWS_OF_A_PAGE, SAMPLE_ROWS * step // max(1, pages) + 1)),
    )
