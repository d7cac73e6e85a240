"""Key ranges that divide one of the CRM's tables about evenly, so that each part of a run reads one of them."""

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
    """A half-open range of keys, as text; an end that is None is open."""

    lower: str | None
    upper: str | None


def key_ranges(
    source: Connection, column: str, wanted: int | None, *, indexed: bool
) -> list[tuple[str | None, str | None]]:
    """Bounds of about even ranges of `fact_transactions` by `column`: `wanted` many, or as its size suggests."""
    rows = estimated_rows(source, "fact_transactions")
    ranges = wanted or default_ranges(rows, indexed=indexed)
    edges = [None, *bounds(source, "fact_transactions", column, rows, ranges), None]
    return list(itertools.pairwise(edges))


def estimated_rows(source: Connection, table: str) -> int:
    """About how many rows the table has: PostgreSQL's own estimate, or a count where it has none."""
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
    """How many key ranges to plan: 1 up to 40,000 rows, 6 at a million, 16 at ten million.

    More ranges than processes, so that the last one to finish is short, and few enough that each is worth
    its task; even, as processors mostly are. Without an index every range reads the whole table, so there are no
    more than processors.
    """
    root = math.sqrt(rows / 40_000)
    wanted = 1 if root <= 1 else 2 * math.ceil(root / 2)
    return wanted if indexed else min(wanted, os.cpu_count() or 1)


def bounds(source: Connection, table: str, column: str, rows: int, ranges: int) -> list[str]:
    """At most `ranges` - 1 rising values, as text, that divide the table's rows about evenly by `column`.

    From a sample, in the column's own collation; equal values never straddle a bound.
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
    """Whether a row is among some ten thousand.

    Of a table, the first rows of pages at even distances: ids rise with the pages, so even pages are even ids,
    which a sample of random pages is not. A view or a partitioned table has no such pages.
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
