"""What one SQL statement does of the same work, from the orders to a keyed table; written as its best friend would."""

from __future__ import annotations

import psycopg

RFM_NTILE = """
CREATE TABLE rival_rfm AS
WITH customers AS (
  SELECT mobile_id, current_date - (max(created_at) FILTER (WHERE total_amount >= 0.01))::date AS recency_days,
    count(*) FILTER (WHERE total_amount >= 0.01) AS frequency, sum(total_amount) AS monetary
  FROM fact_transactions WHERE mobile_id <> '' GROUP BY mobile_id
  HAVING count(*) FILTER (WHERE total_amount >= 0.01) > 0
)
SELECT *, 6 - ntile(5) OVER (ORDER BY recency_days) AS r_score, ntile(5) OVER (ORDER BY frequency) AS f_score,
  ntile(5) OVER (ORDER BY monetary) AS m_score
FROM customers
"""

# The local time is taken once per transaction behind a fence, then turned into a daypart by plain comparisons.
MENU_TUNED = """
CREATE TABLE rival_menu AS
WITH transactions AS MATERIALIZED (
  SELECT transaction_id, CASE
    WHEN t >= '04:00' AND t < '06:30' THEN 1 WHEN t >= '06:30' AND t < '10:30' THEN 2
    WHEN t >= '10:30' AND t < '12:30' THEN 3 WHEN t >= '12:30' AND t < '14:30' THEN 4
    WHEN t >= '14:30' AND t < '16:30' THEN 5 WHEN t >= '16:30' AND t < '18:00' THEN 6
    WHEN t >= '18:00' AND t < '19:30' THEN 7 WHEN t >= '19:30' AND t < '21:30' THEN 8
    WHEN t >= '21:30' THEN 9 WHEN t < '02:00' THEN 10 ELSE 11 END AS daytime_id
  FROM (SELECT transaction_id, (created_at AT TIME ZONE 'UTC')::time AS t FROM fact_transactions
    WHERE total_amount >= 0.01 OFFSET 0) AS timed
), pairs AS (
  SELECT transaction_id, daytime_id, item_id, sum(quantity) AS quantity, sum(quantity * price) AS revenue
  FROM transactions JOIN fact_transaction_items USING (transaction_id) WHERE quantity > 0 GROUP BY 1, 2, 3
), counted AS (
  SELECT daytime_id, item_id, count(*) AS orders, sum(quantity) AS quantity, sum(revenue) AS revenue
  FROM pairs GROUP BY 1, 2
), totals AS (
  SELECT daytime_id, count(DISTINCT transaction_id) AS transactions FROM pairs GROUP BY 1
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY daytime_id ORDER BY orders DESC, quantity DESC, revenue DESC, item_id)
    AS rank FROM counted
)
SELECT daytime_id, item_id AS menu_item_id, rank, orders, quantity, orders::float / transactions AS share
FROM ranked JOIN totals USING (daytime_id) WHERE rank <= 10
"""


def rfm_ntile(url: str) -> None:
    """RFM by NTILE into a table with its primary key."""
    _keyed(url, RFM_NTILE, "rival_rfm", "mobile_id")


def menu_tuned(url: str) -> None:
    """The menu by a hand-tuned statement into a table with its primary key."""
    _keyed(url, MENU_TUNED, "rival_menu", "daytime_id, rank")


def _keyed(url: str, statement: str, table: str, key: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET work_mem = '256MB'")
        connection.execute(f"DROP TABLE IF EXISTS {table}".encode())
        connection.execute(statement.encode())
        connection.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({key})".encode())
