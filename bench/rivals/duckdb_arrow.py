"""DuckDB: SQL over Arrow tables that ADBC has read from PostgreSQL, and Arrow back."""

from __future__ import annotations

import duckdb

from bench.rivals import adbc
from bench.rivals.rules import BUSINESS_DATE, DAYPART_STARTS, SEGMENTS, TIMEZONE, TOP_N

RFM = f"""
WITH customers AS MATERIALIZED (
  SELECT mobile_id, count(*) FILTER (cents >= 1)::INT AS frequency, sum(cents)::BIGINT AS cents,
    DATE '{BUSINESS_DATE}' - (timezone('{TIMEZONE}', max(created_at) FILTER (cents >= 1))
      - INTERVAL 4 HOURS)::DATE AS recency_days
  FROM orders GROUP BY mobile_id HAVING count(*) FILTER (cents >= 1) > 0
), cuts AS (
  SELECT quantile_cont(recency_days, [0.2, 0.4, 0.6, 0.8]) AS rs, quantile_cont(frequency, [0.2, 0.4, 0.6, 0.8]) AS fs,
    quantile_cont(cents, [0.2, 0.4, 0.6, 0.8]) AS ms
  FROM customers
), scored AS (
  SELECT customers.*,
    5 - (recency_days > rs[1])::INT - (recency_days > rs[2])::INT - (recency_days > rs[3])::INT
      - (recency_days > rs[4])::INT AS r,
    1 + (frequency > fs[1])::INT + (frequency > fs[2])::INT + (frequency > fs[3])::INT + (frequency > fs[4])::INT AS f,
    1 + (cents > ms[1])::INT + (cents > ms[2])::INT + (cents > ms[3])::INT + (cents > ms[4])::INT AS m
  FROM customers, cuts
)
SELECT mobile_id, recency_days::INT AS recency_days, frequency, cents, r::SMALLINT AS r_score,
  f::SMALLINT AS f_score, m::SMALLINT AS m_score, (100 * r + 10 * f + m)::VARCHAR AS rfm_score,
  ({SEGMENTS}::VARCHAR[])[25 * r + 5 * f + m - 30] AS segment
FROM scored
"""

DAYPARTS = " ".join(f"WHEN minute >= {start} THEN {number}" for start, number in reversed(DAYPART_STARTS))
MENU = f"""
WITH timed AS MATERIALIZED (
  SELECT transaction_id, CASE {DAYPARTS} END AS daytime_id
  FROM (SELECT transaction_id, date_part('hour', local) * 60 + date_part('minute', local) AS minute
    FROM (SELECT transaction_id, timezone('{TIMEZONE}', created_at) AS local FROM orders))
), sold AS (
  SELECT daytime_id, menu_item_id, count(*) AS orders, sum(quantity)::BIGINT AS quantity, sum(cents) AS cents
  FROM lines JOIN timed USING (transaction_id) GROUP BY ALL
), baskets AS (
  SELECT daytime_id, count(*) AS transactions FROM timed SEMI JOIN lines USING (transaction_id) GROUP BY ALL
)
SELECT daytime_id::INT AS daytime_id,
  row_number() OVER (PARTITION BY daytime_id ORDER BY orders DESC, quantity DESC, cents DESC, menu_item_id)::INT
    AS rank,
  menu_item_id::BIGINT AS menu_item_id, orders, quantity, orders / transactions AS share
FROM sold JOIN baskets USING (daytime_id)
QUALIFY rank <= {TOP_N}
"""


def rfm(url: str, table: str) -> None:
    """Group by customer, compute the cut points, score."""
    with duckdb.connect() as connection:
        connection.register("orders", adbc.read(url, adbc.RFM_ROWS))
        adbc.keep_rfm(url, table, connection.sql(RFM).to_arrow_table())


def menu(url: str, table: str) -> None:
    """Find each transaction's daypart, join the lines, count and rank."""
    with duckdb.connect() as connection:
        connection.register("orders", adbc.read(url, adbc.MENU_ORDERS))
        connection.register("lines", adbc.read(url, adbc.MENU_LINES))
        adbc.keep_menu(url, table, connection.sql(MENU).to_arrow_table())
