"""SQL as an expert would write it: one statement into a table, and then its primary key.

CREATE TABLE AS can use parallel workers, INSERT … SELECT can't; building the key afterwards is faster.
"""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg import sql

from bench.rivals.rules import AS_OF, BUSINESS_DATE, SEGMENTS, TIMEZONE, TOP_N

CUSTOMERS = """
customers AS (
  SELECT mobile_id,
    {today}::date - ((max(created_at) FILTER (WHERE total_amount >= 0.01) AT TIME ZONE {zone})
      - interval '4 hours')::date AS recency_days,
    (count(*) FILTER (WHERE total_amount >= 0.01))::int AS frequency,
    sum(total_amount)::numeric(14, 2) AS monetary
  FROM fact_transactions
  WHERE mobile_id <> '' AND created_at <= {as_of}
  GROUP BY mobile_id
  HAVING count(*) FILTER (WHERE total_amount >= 0.01) > 0
)"""

RESULT = """
SELECT mobile_id, recency_days, frequency, monetary, r::smallint AS r_score, f::smallint AS f_score,
  m::smallint AS m_score, (100 * r + 10 * f + m)::text AS rfm_score,
  ({segments}::text[])[25 * r + 5 * f + m - 30] AS segment
FROM scored"""

RFM_NTILE = f"""
WITH {CUSTOMERS}, scored AS (
  SELECT *, ntile(5) OVER (ORDER BY recency_days DESC) AS r, ntile(5) OVER (ORDER BY frequency) AS f,
    ntile(5) OVER (ORDER BY monetary) AS m
  FROM customers
)
{RESULT}"""

# One ordered-set aggregate per measure; `customers` is materialized, since it is read twice.
RFM_PERCENTILE = f"""
WITH {CUSTOMERS.replace("customers AS (", "customers AS MATERIALIZED (")}, cuts AS (
  SELECT percentile_cont(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY recency_days) AS rs,
    percentile_cont(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY frequency) AS fs,
    percentile_cont(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY monetary::float8) AS ms
  FROM customers
), scored AS (
  SELECT customers.*,
    CASE WHEN recency_days <= rs[1] THEN 5 WHEN recency_days <= rs[2] THEN 4 WHEN recency_days <= rs[3] THEN 3
      WHEN recency_days <= rs[4] THEN 2 ELSE 1 END AS r,
    CASE WHEN frequency <= fs[1] THEN 1 WHEN frequency <= fs[2] THEN 2 WHEN frequency <= fs[3] THEN 3
      WHEN frequency <= fs[4] THEN 4 ELSE 5 END AS f,
    CASE WHEN monetary::float8 <= ms[1] THEN 1 WHEN monetary::float8 <= ms[2] THEN 2
      WHEN monetary::float8 <= ms[3] THEN 3 WHEN monetary::float8 <= ms[4] THEN 4 ELSE 5 END AS m
  FROM customers CROSS JOIN cuts
)
{RESULT}"""

MENU_PLAIN = """
WITH sold AS (
  SELECT d.daytime_id, i.item_id, count(DISTINCT t.transaction_id) AS orders, sum(i.quantity) AS quantity,
    sum(i.quantity * i.price) AS revenue
  FROM fact_transactions t
  JOIN dim_menu_daytimes d ON (t.created_at AT TIME ZONE {zone})::time
    BETWEEN d.start_time AND d.end_time + interval '59.999999 seconds'
  JOIN fact_transaction_items i USING (transaction_id)
  WHERE t.total_amount >= 0.01 AND t.created_at <= {as_of} AND i.quantity > 0
  GROUP BY d.daytime_id, i.item_id
), baskets AS (
  SELECT d.daytime_id, count(*) AS transactions
  FROM fact_transactions t
  JOIN dim_menu_daytimes d ON (t.created_at AT TIME ZONE {zone})::time
    BETWEEN d.start_time AND d.end_time + interval '59.999999 seconds'
  WHERE t.total_amount >= 0.01 AND t.created_at <= {as_of}
    AND EXISTS (SELECT FROM fact_transaction_items i WHERE i.transaction_id = t.transaction_id AND i.quantity > 0)
  GROUP BY d.daytime_id
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY daytime_id ORDER BY orders DESC, quantity DESC, revenue DESC, item_id)
    AS rank
  FROM sold
)
SELECT daytime_id, rank::int, item_id AS menu_item_id, orders, quantity, orders::float8 / transactions AS share
FROM ranked JOIN baskets USING (daytime_id)
WHERE rank <= {top}"""

# It assumes that an item is at most once in a transaction and that no transaction is without a line, so it counts rows.
# The local time and the end of a daypart are computed once per transaction, with an optimization fence.
MENU_TUNED = """
WITH parts AS MATERIALIZED (
  SELECT daytime_id, start_time, end_time + interval '59.999999 seconds' AS until FROM dim_menu_daytimes
), timed AS MATERIALIZED (
  SELECT transaction_id, daytime_id
  FROM (SELECT transaction_id, (created_at AT TIME ZONE {zone})::time AS clock FROM fact_transactions
    WHERE total_amount >= 0.01 AND created_at <= {as_of} OFFSET 0) AS t
  JOIN parts ON clock >= start_time AND clock <= until
), sold AS (
  SELECT daytime_id, item_id, count(*) AS orders, sum(quantity) AS quantity, sum(quantity * price) AS revenue
  FROM timed JOIN fact_transaction_items USING (transaction_id)
  WHERE quantity > 0
  GROUP BY daytime_id, item_id
), baskets AS (
  SELECT daytime_id, count(*) AS transactions FROM timed GROUP BY daytime_id
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY daytime_id ORDER BY orders DESC, quantity DESC, revenue DESC, item_id)
    AS rank
  FROM sold
)
SELECT daytime_id, rank::int, item_id AS menu_item_id, orders, quantity, orders::float8 / transactions AS share
FROM ranked JOIN baskets USING (daytime_id)
WHERE rank <= {top}"""

FLOOR = {
    "rfm": "SELECT count(*), max(created_at), sum(total_amount) FROM fact_transactions",
    "menu": "SELECT count(*), max(created_at), sum(total_amount) FROM fact_transactions"
    " UNION ALL SELECT count(*), NULL, sum(quantity * price) FROM fact_transaction_items",
}


def rfm_ntile(url: str, table: str, as_of: datetime = AS_OF) -> None:
    """Quintiles by NTILE, which may give customers with equal values different scores."""
    _keep(url, table, RFM_NTILE, "mobile_id", as_of=as_of)


def rfm_percentile(url: str, table: str) -> None:
    """Quintiles by interpolated cut points, as in our runs."""
    _keep(url, table, RFM_PERCENTILE, "mobile_id")


def menu_plain(url: str, table: str) -> None:
    """A straightforward join."""
    _keep(url, table, MENU_PLAIN, "daytime_id, rank", tuned=False)


def menu_tuned(url: str, table: str, as_of: datetime = AS_OF) -> None:
    """The join after a day of tuning with EXPLAIN ANALYZE."""
    _keep(url, table, MENU_TUNED, "daytime_id, rank", as_of=as_of)


def floor(url: str, kind: str) -> None:
    """Read every row of a kind once, with trivial aggregates."""
    with psycopg.connect(url) as connection:
        connection.execute(FLOOR[kind]).fetchall()


def _keep(
    url: str, table: str, query: LiteralString, key: LiteralString, *, tuned: bool = True, as_of: datetime = AS_OF
) -> None:
    """Create a table with the query's rows and this primary key."""
    values = {
        "today": sql.Literal(BUSINESS_DATE),
        "zone": sql.Literal(TIMEZONE),
        "as_of": sql.Literal(as_of),
        "segments": sql.Literal(SEGMENTS),
        "top": sql.Literal(TOP_N),
    }
    name = sql.Identifier(table)
    with psycopg.connect(url) as connection:
        if tuned:
            connection.execute("SET LOCAL work_mem = '256MB'; SET LOCAL jit = off")
        connection.execute(sql.SQL("CREATE TABLE {} AS {}").format(name, sql.SQL(query).format(**values)))
        connection.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})").format(name, sql.SQL(key)))
