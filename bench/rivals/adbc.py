"""Rows from and to PostgreSQL as Arrow, for Polars and DuckDB; PostgreSQL does the row-wise filters."""

from __future__ import annotations

from typing import Any

from adbc_driver_postgresql import dbapi

from bench.rivals.rules import AS_OF

UPTO = f"created_at <= '{AS_OF.isoformat()}'"
RFM_ROWS = f"""SELECT mobile_id, (total_amount * 100)::bigint AS cents, created_at FROM fact_transactions
WHERE mobile_id <> '' AND {UPTO}"""
MENU_ORDERS = f"SELECT transaction_id, created_at FROM fact_transactions WHERE total_amount >= 0.01 AND {UPTO}"
MENU_LINES = """SELECT transaction_id, item_id::int AS menu_item_id, quantity,
(quantity * price * 100)::bigint AS cents FROM fact_transaction_items WHERE quantity > 0"""


def read(url: str, query: str) -> Any:
    """The query's rows as a pyarrow Table."""
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetch_arrow_table()


def keep_rfm(url: str, table: str, rows: Any) -> None:
    """Write `rows`, a pyarrow Table with `cents` for monetary, to a table with its key.

    ADBC can't write numeric, so cents are converted by a copy inside PostgreSQL, which is faster than writing text.
    """
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(f"{table}_landing", rows, mode="create", temporary=True)
        cursor.execute(
            f"CREATE TABLE {table} AS SELECT mobile_id, recency_days, frequency,"
            f" (cents * 0.01)::numeric(14, 2) AS monetary, r_score, f_score, m_score, rfm_score, segment"
            f" FROM {table}_landing"
        )
        cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (mobile_id)")
        connection.commit()


def keep_menu(url: str, table: str, rows: Any) -> None:
    """Write `rows`, a pyarrow Table, to a table with its key."""
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(table, rows, mode="create")
        cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (daytime_id, rank)")
        connection.commit()
