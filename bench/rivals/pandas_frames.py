"""pandas: read_sql, vectorised group-bys, qcut, and COPY back."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import psycopg
from psycopg import sql
from sqlalchemy import Engine, create_engine

from bench.rivals.rules import AS_OF, BUSINESS_DATE, DAY_START, DAYPART_STARTS, SEGMENTS, TIMEZONE, TOP_N

CHUNK = 500_000  # rows that are Python objects at a time; a plain read_sql of 25 M lines would need 15 GB


def rfm(url: str, table: str) -> None:
    """One row per transaction into a frame, grouped by customer."""
    orders = _read(
        url,
        "SELECT mobile_id, (total_amount * 100)::bigint AS cents, created_at FROM fact_transactions"
        " WHERE mobile_id <> '' AND created_at <= %(as_of)s",
    )
    orders["purchased_at"] = orders["created_at"].where(orders["cents"] >= 1)
    customers = orders.groupby("mobile_id", sort=False).agg(
        last=("purchased_at", "max"), frequency=("purchased_at", "count"), cents=("cents", "sum")
    )
    customers = customers[customers["frequency"] > 0].reset_index()
    last = (customers["last"].dt.tz_convert(TIMEZONE).dt.tz_localize(None) - DAY_START).dt.normalize()
    customers["recency_days"] = (pd.Timestamp(BUSINESS_DATE) - last).dt.days
    r = 5 - pd.qcut(customers["recency_days"], 5, labels=False)
    f = 1 + pd.qcut(customers["frequency"], 5, labels=False)
    m = 1 + pd.qcut(customers["cents"], 5, labels=False)
    result = pd.DataFrame(
        {
            "mobile_id": customers["mobile_id"],
            "recency_days": customers["recency_days"],
            "frequency": customers["frequency"],
            # Exact below 2^53 cents, and faster to write than Decimals.
            "monetary": customers["cents"] / 100,
            "r_score": r,
            "f_score": f,
            "m_score": m,
            "rfm_score": 100 * r + 10 * f + m,
            "segment": np.array(SEGMENTS, dtype=object)[25 * r + 5 * f + m - 31],
        }
    )
    columns = (
        "mobile_id text, recency_days int, frequency int, monetary numeric(14, 2), r_score smallint,"
        " f_score smallint, m_score smallint, rfm_score text, segment text"
    )
    _keep(url, table, result, columns, "mobile_id")


def menu(url: str, table: str) -> None:
    """Transactions and lines into frames, joined by position and grouped."""
    orders = _read(
        url,
        "SELECT transaction_id, created_at FROM fact_transactions"
        " WHERE total_amount >= 0.01 AND created_at <= %(as_of)s ORDER BY transaction_id",
    )
    local = orders["created_at"].dt.tz_convert(TIMEZONE)
    starts, ids = np.array(DAYPART_STARTS).T
    minutes = (local.dt.hour * 60 + local.dt.minute).to_numpy()
    daytime = ids[np.searchsorted(starts, minutes, side="right") - 1]
    lines = _read(
        url,
        "SELECT transaction_id, item_id::int AS menu_item_id, quantity, (quantity * price * 100)::bigint AS cents"
        " FROM fact_transaction_items WHERE quantity > 0",
    )
    known = orders["transaction_id"].to_numpy()
    place = np.searchsorted(known, lines["transaction_id"].to_numpy())
    found = known[np.minimum(place, len(known) - 1)] == lines["transaction_id"].to_numpy()
    lines, place = lines[found], place[found]
    lines["daytime_id"] = daytime[place]
    sold = lines.groupby(["daytime_id", "menu_item_id"], sort=False).agg(
        orders=("transaction_id", "size"), quantity=("quantity", "sum"), cents=("cents", "sum")
    )
    baskets = np.bincount(daytime[np.unique(place)], minlength=ids.max() + 1)
    ranked = sold.reset_index().sort_values(
        ["daytime_id", "orders", "quantity", "cents", "menu_item_id"], ascending=[True, False, False, False, True]
    )
    ranked["rank"] = ranked.groupby("daytime_id").cumcount() + 1
    ranked["share"] = ranked["orders"] / baskets[ranked["daytime_id"]]
    result = ranked.loc[ranked["rank"] <= TOP_N, ["daytime_id", "rank", "menu_item_id", "orders", "quantity", "share"]]
    columns = "daytime_id int, rank int, menu_item_id bigint, orders bigint, quantity bigint, share float8"
    _keep(url, table, result, columns, "daytime_id, rank")


def _engine(url: str) -> Engine:
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))


def _read(url: str, query: str) -> pd.DataFrame:
    engine = _engine(url)
    with engine.connect().execution_options(stream_results=True, max_row_buffer=CHUNK) as connection:
        frames = list(pd.read_sql(query, connection, params={"as_of": AS_OF}, chunksize=CHUNK))
    engine.dispose()
    return pd.concat(frames, ignore_index=True)


def _keep(url: str, table: str, frame: pd.DataFrame, columns: str, key: str) -> None:
    text = io.StringIO()
    frame.to_csv(text, index=False, header=False)
    name = sql.Identifier(table)
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(columns)))
        with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(name)) as copy:
            copy.write(text.getvalue())
        connection.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})").format(name, sql.SQL(key)))
