"""Customers' visits in bulk: from the CRM's orders and lines to one row of integers per customer, and to arrays.

Purchases are counted as for segments, with those of their lines that have a quantity above zero. The SQL is raw
since it is built from the source's column types and runs over millions of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from psycopg import sql
from sqlalchemy.orm import Session

from analytics.behaviour import Counts, Whole
from kinds.bulk import whole_columns
from kinds.generations import Generations
from source import reading
from source.ranges import has_index
from source.window import Plan, business_date, in_window, included, local_time
from store.database import driver
from store.models import Part, Run

TABLES = Generations("cluster", lines=True)
SAMPLE = 50_000  # customers that clusters are fitted to, those whose ids have the lowest MD5
VISITS_TO_FIT, VISITS_TO_ASSIGN = 3, 2
# A touched customer without an order has NULLs.
STAGED = (
    "mobile_id text, visits int, refunds int, cents bigint, weekend int, gaps int, gap_days bigint, gap_squares bigint,"
    " lines bigint, units bigint, items int, dayparts int[], categories bigint[], used bigint, skipped bigint"
)
_SCALARS = (
    "visits",
    "refunds",
    "cents",
    "weekend",
    "lines",
    "units",
    "items",
    "gaps",
    "gap_days",
    "gap_squares",
)


def counts_query(plan: Plan, whose: sql.Composable, *, indexed: bool) -> sql.Composed:
    """Each customer's visits and lines in numbers; `whose` filters the customers.

    With an index of lines by transaction (`indexed`), each order's lines are looked up in it, in one after the other
    (OFFSET 0 keeps the planner from joining): a join reads the lines of all customers in every shard.
    """
    types, lines = plan["columns"]["fact_transactions"], plan["columns"]["fact_transaction_items"]
    amount, quantity = sql.Identifier("total_amount"), sql.Identifier("quantity")
    units = "1000 * quantity::bigint" if lines["quantity"] in reading.INTEGERS else "(1000 * {})::bigint"
    at_home = [
        sql.SQL(" OR ").join(
            sql.SQL("clock >= {} AND clock < {}").format(sql.Literal(start), sql.Literal(until))
            for start, until in daypart["windows"]
        )
        for daypart in plan["dayparts"]
    ]
    dayparts = [sql.SQL("count(*) FILTER (WHERE cents >= 1 AND ({}))").format(window) for window in at_home]
    categories = [
        sql.SQL("coalesce(sum(lines) FILTER (WHERE category = {}), 0)").format(sql.Literal(place))
        for place in range(len(plan["categories"]))
    ]
    join = "JOIN fact_transaction_items AS lines USING (transaction_id)"
    if indexed:
        join = (
            "CROSS JOIN LATERAL (SELECT item_id, quantity FROM fact_transaction_items AS line"
            " WHERE line.transaction_id = orders.transaction_id OFFSET 0) AS lines"
        )
    return sql.SQL(
        "WITH orders AS MATERIALIZED (SELECT mobile_id, transaction_id,"
        "  CASE WHEN usable THEN {day} END AS day,"
        "  CASE WHEN usable THEN (extract(epoch FROM {local}::time) * 1000000)::bigint END AS clock,"
        "  CASE WHEN usable THEN {cents} END AS cents"
        "  FROM (SELECT mobile_id, transaction_id, created_at, total_amount,"
        "    ({finite} AND isfinite(created_at)) IS TRUE AS usable"
        "   FROM fact_transactions WHERE {whose} AND mobile_id <> '' AND {included}"
        "   AND ({window} IS NOT FALSE OR NOT isfinite(created_at)) OFFSET 0) AS read OFFSET 0),"
        " visits AS (SELECT mobile_id, count(*) FILTER (WHERE cents >= 1) AS visits,"
        "  count(*) FILTER (WHERE cents < 0) AS refunds, coalesce(sum(cents) FILTER (WHERE cents >= 1), 0) AS cents,"
        "  count(*) FILTER (WHERE cents >= 1 AND extract(isodow FROM day) >= 6) AS weekend,"
        "  ARRAY[{dayparts}]::int[] AS dayparts, count(cents) AS used, count(*) FILTER (WHERE cents IS NULL) AS skipped"
        "  FROM orders GROUP BY mobile_id),"
        " rhythm AS (SELECT mobile_id, count(gap) AS gaps, sum(gap) AS gap_days, sum(gap * gap) AS gap_squares"
        "  FROM (SELECT mobile_id, (day - lag(day) OVER (PARTITION BY mobile_id ORDER BY day))::bigint AS gap"
        "   FROM (SELECT DISTINCT mobile_id, day FROM orders WHERE cents >= 1) AS days) AS gaps GROUP BY mobile_id),"
        " eaten AS (SELECT mobile_id, sum(lines) AS lines, sum(units) AS units, count(*) AS items,"
        "  ARRAY[{categories}]::bigint[] AS categories"
        "  FROM (SELECT mobile_id, item_id, count(*)::int AS lines, sum({units}) AS units"
        "   FROM orders {join}"
        "   WHERE cents >= 1 AND item_id IS NOT NULL AND ({counted}) GROUP BY mobile_id, item_id) AS sold"
        "  LEFT JOIN (SELECT item_id, array_position({names}::text[], max(category)) - 1 AS category"
        "   FROM dim_menu_items GROUP BY item_id) AS menu"
        "  USING (item_id) GROUP BY mobile_id)"
        " SELECT mobile_id, visits::int, refunds::int, visits.cents::numeric(14, 0)::bigint, weekend::int,"
        " coalesce(gaps, 0)::int, coalesce(gap_days, 0)::bigint, coalesce(gap_squares, 0)::bigint,"
        " coalesce(lines, 0)::bigint, coalesce(units, 0)::bigint, coalesce(items, 0)::int, dayparts,"
        " coalesce(categories, {nothing}::bigint[]), used, skipped"
        " FROM visits LEFT JOIN rhythm USING (mobile_id) LEFT JOIN eaten USING (mobile_id)"
    ).format(
        day=business_date(local_time(sql.Identifier("created_at")), plan),
        local=local_time(sql.Identifier("created_at")),
        cents=reading.cents(amount, types["total_amount"]),
        finite=reading.finite(amount, types["total_amount"]),
        whose=whose,
        included=included(plan),
        window=in_window(plan),
        dayparts=sql.SQL(", ").join(dayparts),
        categories=sql.SQL(", ").join(categories),
        names=sql.Literal(list(plan["categories"])),
        join=sql.SQL(join),
        units=sql.SQL(units).format(reading.exact(quantity, lines["quantity"])),
        counted=sql.SQL("CASE WHEN {} THEN quantity > 0 ELSE false END").format(
            reading.finite(quantity, lines["quantity"])
        ),
        nothing=sql.Literal([0] * len(categories)),
    )


def count(session: Session, source_url: str, run: Run, part: Part) -> dict[str, int]:
    """Fill the part's staging table; returns the counts."""
    assert run.plan is not None
    with reading.connect(source_url) as crm:
        indexed = has_index(crm, "fact_transaction_items", "transaction_id")
    table = TABLES.stage(session, source_url, run, part, STAGED, partial(counts_query, run.plan, indexed=indexed))
    counted = sql.SQL(
        "SELECT count(*), count(*) FILTER (WHERE visits > 0), count(*) FILTER (WHERE visits >= {}),"
        " coalesce(sum(used), 0)::bigint, coalesce(sum(skipped), 0)::bigint FROM {}"
    ).format(sql.Literal(VISITS_TO_FIT), table)
    row = driver(session).execute(counted).fetchone()
    return dict(
        zip(("staged", "customers", "regulars", "transactions", "skipped_transactions"), row or (), strict=True)
    )


def staged(run: Run, shards: Sequence[int], visits: int) -> sql.Composed:
    """The customers of these shards with at least this many visits, as a query."""
    each = sql.SQL("SELECT * FROM {} WHERE visits >= {}")
    return sql.SQL(" UNION ALL ").join(each.format(TABLES.staging(run, shard), sql.Literal(visits)) for shard in shards)


def sample(session: Session, customers: sql.Composable) -> Counts:
    """At most `SAMPLE` customers, in the order of their ids' MD5, which is independent of their values."""
    lowest = sql.SQL("SELECT *, md5(mobile_id) AS hash FROM ({}) AS staged ORDER BY hash, mobile_id LIMIT {}")
    return counts(session, lowest.format(customers, sql.Literal(SAMPLE)), "hash, mobile_id")


def counts(session: Session, customers: sql.Composable, order: str) -> Counts:
    """The customers' numbers, in this order."""
    ordered = sql.SQL("SELECT * FROM ({}) AS staged ORDER BY {}").format(customers, sql.SQL(order))
    driver(session).execute("DROP TABLE IF EXISTS cluster_counts")
    driver(session).execute(
        sql.SQL(
            "CREATE TEMP TABLE cluster_counts ON COMMIT DROP AS"
            " SELECT row_number() OVER () AS place, * FROM ({}) AS ordered"
        ).format(ordered)
    )
    rows = sql.SQL("SELECT * FROM cluster_counts ORDER BY place")
    scalars = dict(zip(_SCALARS, whole_columns(session, rows, _SCALARS), strict=True))
    return Counts(**scalars, dayparts=_matrix(session, "dayparts"), categories=_matrix(session, "categories"))


def _matrix(session: Session, name: str) -> Whole:
    """An array column of `cluster_counts` as a matrix, a row per customer."""
    query = sql.SQL(
        "SELECT count(*) AS rows, coalesce(max(cardinality({name})), 0) AS columns FROM cluster_counts"
    ).format(name=sql.Identifier(name))
    row: Any = driver(session).execute(query).fetchone()
    unnested = sql.SQL(
        "SELECT value FROM cluster_counts, unnest({name}) WITH ORDINALITY AS each (value, number)"
        " ORDER BY place, number"
    ).format(name=sql.Identifier(name))
    (values,) = whole_columns(session, unnested, ("value",))
    return values.reshape(int(row[0]), int(row[1])) if len(values) else np.zeros((int(row[0]), int(row[1])), np.int64)
