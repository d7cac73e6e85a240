"""Seeded orders, made inside PostgreSQL: two years that end now, customers with a heavy tail, 200 items.

`size` transactions of `size`/10 customers, a tenth of them guests' and a fiftieth refunds, with 2.5 lines each;
times rise with the ids, as they do where orders are numbered as they come.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from store.source_tables import SOURCE_TABLES

ITEMS = 200

_TRANSACTIONS = """
INSERT INTO fact_transactions
SELECT i, CASE WHEN random() < 0.9 THEN '+44' || lpad(floor({customers} * random() ^ 2.5)::text, 9, '0') END,
  round(((3 + 60 * random() ^ 3) * CASE WHEN random() < 0.02 THEN -1 ELSE 1 END)::numeric, 2),
  least(now(), now() - interval '2 years' * (1 - i / {size}::float) + interval '3 hours' * (random() - 0.5))
FROM generate_series(1, {size}) AS i
"""

_LINES = """
INSERT INTO fact_transaction_items
SELECT row_number() OVER (), i, 1 + floor({items} * random() ^ 2), 1 + floor(3 * random() ^ 2),
  round((2 + 20 * random())::numeric, 2)
FROM generate_series(1, {size}) AS i, generate_series(0, i % 4)
"""


def fill(url: str, size: int) -> None:
    """Make the source tables with their keys and the recommended indexes, and fill and analyze them."""
    with psycopg.connect(url) as connection:
        for table in SOURCE_TABLES.values():
            connection.execute(f"DROP TABLE IF EXISTS {table.name}".encode())
            connection.execute(table.ddl.replace("numeric", "numeric(12,2)").encode())
        connection.execute("SELECT setseed(0.2026)")
        connection.execute("SET max_parallel_workers_per_gather = 0; SET maintenance_work_mem = '512MB'")
        names = {"size": sql.Literal(size), "customers": sql.Literal(size // 10), "items": sql.Literal(ITEMS)}
        for statement in (_TRANSACTIONS, _LINES):
            connection.execute(sql.SQL(statement).format(**names))
        connection.execute(
            "INSERT INTO dim_menu_items SELECT i, 'Item ' || i, 5, 'Food' FROM generate_series(1, %s) AS i", [ITEMS]
        )
        for table in SOURCE_TABLES.values():
            for index in table.indexes:
                connection.execute(index.encode())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def import_orders(url: str, orders: int) -> tuple[int, int]:
    """Add orders of this moment, as an import does; returns the first and the last of their ids."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT max(transaction_id) FROM fact_transactions").fetchone()
        first = (row[0] if row else 0) + 1
        names = {"first": sql.Literal(first), "last": sql.Literal(first + orders - 1)}
        connection.execute(
            sql.SQL(
                "INSERT INTO fact_transactions SELECT i, (SELECT mobile_id FROM fact_transactions"
                " WHERE transaction_id = 1 + floor({first} * (i::bigint * 7919 % 104729) / 104729.0)::bigint),"
                " 12.50, now() FROM generate_series({first}, {last}) AS i"
            ).format(**names)
        )
        connection.execute(
            sql.SQL(
                "INSERT INTO fact_transaction_items SELECT (SELECT max(id) FROM fact_transaction_items) + 3 * (i -"
                " {first}) + line, i, 1 + (i + 7 * line) % 200, 1, 4.50"
                " FROM generate_series({first}, {last}) AS i, generate_series(1, 2) AS line"
            ).format(**names)
        )
    return first, first + orders - 1
