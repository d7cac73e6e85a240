"""Customers' histories in bulk: from the CRM's orders to one row per customer, and from there to arrays.

An occasion is a business date with a purchase. The rows stay in PostgreSQL; what is fitted and scored are the distinct
histories among them, as arrays. The SQL is raw since it is built from the source's column types and runs over millions
of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from psycopg import sql
from sqlalchemy.orm import Session

from analytics.btyd import Whole
from analytics.btyd_fit import Cells
from analytics.histories import RECENT, STEP, Histories
from analytics.training import SAMPLE
from kinds.bulk import whole_columns
from kinds.generations import Generations
from source import reading
from source.window import Plan, business_date, in_window, included, local_time
from store.database import driver
from store.models import Part, Run

TABLES = Generations("prediction")
# `x` is -1 for a customer without a purchase, and NULL for a touched one without an order; `month_x` is the same for
# thirty days ago. Training runs also have `recent` and `older`: the days of occasions, counted back from today (see
# analytics/histories.py).
STAGED = (
    "mobile_id text, x int, t_x int, t int, cents bigint, repeat_cents bigint, month_x int, month_t_x int,"
    " month_ordered bool, older int, recent int[], used bigint, skipped bigint"
)


def histories_query(plan: Plan, whose: sql.Composable, *, days: bool) -> sql.Composed:
    """Each customer's occasions in numbers; `whose` filters the customers, `days` adds single occasions.

    A business date after that of `as_of`, possible after clocks were put back, counts as the latter. OFFSET 0 is an
    optimization fence: without it, expressions are evaluated once per use.
    """
    amount_type, amount = plan["columns"]["fact_transactions"]["total_amount"], sql.Identifier("total_amount")
    single = "min(ago) FILTER (WHERE bought AND ago >= {recent}), coalesce(array_agg(ago ORDER BY ago DESC)"
    single += " FILTER (WHERE bought AND ago < {recent}), '{{}}')"
    return sql.SQL(
        "SELECT mobile_id, (count(*) FILTER (WHERE bought) - 1)::int AS x,"
        " coalesce(max(ago) FILTER (WHERE bought) - min(ago) FILTER (WHERE bought), 0) AS t_x,"
        " coalesce(max(ago) FILTER (WHERE bought), 0) AS t,"
        " coalesce(sum(cents), 0)::numeric(14, 0)::bigint AS cents,"
        " coalesce(sum(cents) - (array_agg(cents ORDER BY ago DESC) FILTER (WHERE bought))[1], 0)"
        "  ::numeric(14, 0)::bigint AS repeat_cents,"
        " (count(*) FILTER (WHERE bought AND ago >= {month}) - 1)::int AS month_x,"
        " coalesce(max(ago) FILTER (WHERE bought) - min(ago) FILTER (WHERE bought AND ago >= {month}), 0) AS month_t_x,"
        " coalesce(bool_or(bought AND ago < {month}), false) AS month_ordered,"
        " {single}, sum(used)::bigint, sum(skipped)::bigint"
        " FROM (SELECT mobile_id, greatest({today}::date - day, 0) AS ago, bool_or(cents >= 1) IS TRUE AS bought,"
        "  sum(cents) FILTER (WHERE cents >= 1) AS cents, count(cents) AS used,"
        "  count(*) FILTER (WHERE cents IS NULL) AS skipped"
        "  FROM (SELECT mobile_id, CASE WHEN usable THEN {day} ELSE {today}::date END AS day,"
        "    CASE WHEN usable THEN {cents} END AS cents"
        "   FROM (SELECT mobile_id, created_at, total_amount, ({finite} AND isfinite(created_at)) IS TRUE AS usable"
        "    FROM fact_transactions WHERE {whose} AND mobile_id <> '' AND {included}"
        "    AND ({window} IS NOT FALSE OR NOT isfinite(created_at)) ORDER BY mobile_id OFFSET 0) AS orders"
        "   OFFSET 0) AS dated GROUP BY mobile_id, greatest({today}::date - day, 0)) AS days GROUP BY mobile_id"
    ).format(
        today=sql.Literal(plan["business_date"]),
        day=business_date(local_time(sql.Identifier("created_at")), plan),
        cents=reading.cents(amount, amount_type),
        finite=reading.finite(amount, amount_type),
        month=sql.Literal(STEP),
        single=sql.SQL(single if days else "NULL::int, NULL::int[]").format(recent=sql.Literal(RECENT)),
        whose=whose,
        included=included(plan),
        window=in_window(plan),
    )


def summarize(session: Session, source_url: str, run: Run, part: Part) -> dict[str, int]:
    """Fill the part's staging table, with single occasions in a training run; returns its counts."""
    assert run.plan is not None
    query = partial(histories_query, run.plan, days=run.mode == "train")
    TABLES.stage(session, source_url, run, part, STAGED, query)
    return _counted(session, run, part.part)


def _counted(session: Session, run: Run, shard: int) -> dict[str, int]:
    query = sql.SQL(
        "SELECT count(*), count(*) FILTER (WHERE x >= 0), count(*) FILTER (WHERE x > 0),"
        " coalesce(max(t) FILTER (WHERE x >= 0), 0), coalesce(sum(x + 1), 0)::bigint,"
        " coalesce(sum(cents), 0)::numeric(18, 0)::bigint,"
        " coalesce(sum(used), 0)::bigint, coalesce(sum(skipped), 0)::bigint FROM {}"
    ).format(TABLES.staging(run, shard))
    row = driver(session).execute(query).fetchone()
    names = ("staged", "customers", "repeaters", "days", "occasions", "cents", "transactions", "skipped_transactions")
    return dict(zip(names, row or (), strict=True))


def staged(run: Run, shards: Sequence[int]) -> sql.Composed:
    """The customers with a purchase of these shards, as a query."""
    each = sql.SQL("SELECT * FROM {} WHERE x >= 0")
    return sql.SQL(" UNION ALL ").join(each.format(TABLES.staging(run, shard)) for shard in shards)


def cells(session: Session, customers: sql.Composable) -> Cells:
    """The customers' histories, counted."""
    query = sql.SQL("SELECT x, t_x, t, count(*) AS count FROM ({}) AS staged GROUP BY 1, 2, 3").format(customers)
    return Cells.of(*whole_columns(session, query, ("x", "t_x", "t", "count")))


def spent(session: Session, customers: sql.Composable) -> tuple[Whole, Whole]:
    """The repeat occasions and the sum of their cents, of customers who have any."""
    query = sql.SQL("SELECT x, repeat_cents FROM ({}) AS staged WHERE x > 0").format(customers)
    x, cents = whole_columns(session, query, ("x", "repeat_cents"))
    return x, cents


def month(session: Session, customers: sql.Composable) -> tuple[Cells, Whole]:
    """The distinct histories of thirty days ago, their customers, and how many of these have ordered since."""
    query = sql.SQL(
        "SELECT month_x AS x, month_t_x AS t_x, t - {} AS t, count(*) AS count,"
        " count(*) FILTER (WHERE month_ordered) AS ordered FROM ({}) AS staged WHERE month_x >= 0 GROUP BY 1, 2, 3"
        " ORDER BY 1, 2, 3"
    ).format(sql.Literal(STEP), customers)
    x, t_x, t, count, ordered = whole_columns(session, query, ("x", "t_x", "t", "count", "ordered"))
    return Cells(x, t_x, t, count), ordered


def histories(session: Session, customers: sql.Composable) -> Histories:
    """Single occasions of at most `SAMPLE` customers, those whose ids have the lowest MD5, in its order."""
    connection = driver(session)
    connection.execute("DROP TABLE IF EXISTS prediction_sample")
    connection.execute(
        sql.SQL(
            "CREATE TEMP TABLE prediction_sample ON COMMIT DROP AS"
            " SELECT row_number() OVER (ORDER BY md5(mobile_id), mobile_id) - 1 AS place, x, t, older, recent"
            " FROM ({}) AS staged ORDER BY 1 LIMIT {}"
        ).format(customers, sql.Literal(SAMPLE))
    )
    first, x, older = whole_columns(
        session,
        sql.SQL("SELECT t, x, coalesce(older, -1) AS older FROM prediction_sample ORDER BY place"),
        ("t", "x", "older"),
    )
    owner, ago = whole_columns(
        session,
        sql.SQL("SELECT place, ago FROM prediction_sample, unnest(recent) AS ago ORDER BY place, ago DESC"),
        ("place", "ago"),
    )
    return Histories(first, x + 1, older, owner, ago)
