"""Scoring: each distinct history of a shard is scored once, and joined with its customers in PostgreSQL."""

from __future__ import annotations

import numpy as np
from psycopg import sql
from sqlalchemy.orm import Session

from kinds.bulk import copy_columns, whole_columns
from kinds.predictions.model import Predictor
from kinds.predictions.rows import TABLES
from postgres import tune
from store.database import driver
from store.models import Part, Run

COLUMNS = (
    "generation, shard, mobile_id, x, t_x, t, p_alive, p_order_30d, p_order_90d, expected_orders_90d, value_cents,"
    " next_order_from, next_order_median, next_order_to, overdue_since, model_version, written_by"
)
LARGEST_CENTS = 99_999_999_999_999  # the largest value of expected_value_90d
_CELLS = (
    "x int, t_x int, t int, p_alive float8, p_order_30d float8, p_order_90d float8, expected_orders_90d float8,"
    " next_from int, next_median int, next_to int, overdue_after int"
)


def score(session: Session, run: Run, part: Part, predictor: Predictor, version: int) -> int:
    """Build the shard's piece of the results: rows first, then their key. Returns the number of customers."""
    connection = driver(session)
    tune(connection)
    table = TABLES.piece(run, part.part)
    connection.execute(sql.SQL("DELETE FROM {}").format(table))  # rows of an earlier try, before a crash
    customers = sql.SQL("SELECT * FROM {} WHERE x >= 0").format(TABLES.staging(run, part.part))
    query = scored(session, run, customers, predictor, version, run.generation, part.part)
    inserted = connection.execute(sql.SQL("INSERT INTO {} ({}) {}").format(table, sql.SQL(COLUMNS), query)).rowcount
    TABLES.complete(session, run, part.part)
    return inserted


def scored(
    session: Session,
    run: Run,
    customers: sql.Composable,
    predictor: Predictor,
    version: int,
    generation: int,
    shard: int,
) -> sql.Composed:
    """The customers' rows of a generation, as a query with `COLUMNS`; their distinct histories are scored first."""
    assert run.plan is not None
    distinct = sql.SQL("SELECT DISTINCT x, t_x, t FROM ({}) AS staged ORDER BY 1, 2, 3").format(customers)
    x, t_x, t = whole_columns(session, distinct, ("x", "t_x", "t"))
    cells = {name: column.astype(np.int32) for name, column in (("x", x), ("t_x", t_x), ("t", t))}
    connection = driver(session)
    connection.execute("DROP TABLE IF EXISTS prediction_cells")
    connection.execute(sql.SQL("CREATE TEMP TABLE prediction_cells ({}) ON COMMIT DROP").format(sql.SQL(_CELLS)))
    copy_columns(session, sql.Identifier("prediction_cells"), cells | predictor.scores(x, t_x, t))
    connection.execute("ANALYZE prediction_cells")
    spending = predictor.spending
    worth = "{mean}::float8"
    if spending.p:
        worth = "{p}::float8 * ({v}::float8 + repeat_cents) / ({p}::float8 * x + {q}::float8 - 1)"
    value = sql.SQL(worth).format(**{name: sql.Literal(number) for name, number in spending.stored().items()})
    return sql.SQL(
        "SELECT {generation}, {shard}, mobile_id, x, t_x, t, p_alive, p_order_30d, p_order_90d, expected_orders_90d,"
        " round(least(expected_orders_90d * ({value}), {largest}::float8))::bigint,"
        " {today}::date + nullif(next_from, -1), {today}::date + nullif(next_median, -1),"
        " {today}::date + nullif(next_to, -1), {today}::date - (t - t_x) + nullif(overdue_after, -1),"
        " {version}, {written_by} FROM ({customers}) AS staged JOIN prediction_cells USING (x, t_x, t)"
    ).format(
        generation=sql.Literal(generation),
        shard=sql.Literal(shard),
        value=value,
        largest=sql.Literal(LARGEST_CENTS),
        today=sql.Literal(run.plan["business_date"]),
        version=sql.Literal(version),
        written_by=sql.Literal(run.generation),
        customers=customers,
    )
