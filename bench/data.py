"""The benchmark's orders, generated inside PostgreSQL by generate_series; the same size gives the same orders.

Two years of a restaurant: `size` transactions, a tenth as many customers with a heavy tail (the most frequent ones come
hundreds of times as often as the median), guests, a few refunds, 2.5 lines per transaction, 200 items. Every value is a
hash of its row's number, so that it depends on no seed and on no query plan.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql

from analytics.dayparts import DEFAULT_DAYPARTS, MINUTE
from source.tables import SOURCE_TABLES

DAYS = 731
START = datetime(2024, 1, 1, 4, tzinfo=UTC)  # the last day is 2025-12-31
AS_OF = datetime(2026, 1, 1, 3, 59, 59, 999999, tzinfo=UTC)
TIMEZONE = "Europe/London"
ITEMS = 200

# Orders per hour of the day, from four o'clock on, relative to one another.
HOURS = (1, 2, 3, 7, 9, 7, 6, 8, 16, 15, 8, 5, 5, 7, 13, 17, 14, 9, 5, 3, 2, 1, 0.5, 0.5)


def _chance(row: str, seed: int) -> str:
    """SQL for a pseudo-random number in [0, 1) that depends on the row's number."""
    return f"((hashint8extended({row}, {seed}) & 9007199254740991) / 9007199254740992.0::float8)"


def _cumulated() -> list[float]:
    return [sum(HOURS[: hour + 1]) / sum(HOURS) for hour in range(len(HOURS))]


# created_at rises with the id, except for up to ten minutes between till and server. Within a day orders follow HOURS:
# the time at which `part` of the day's orders are done is interpolated in the cumulated HOURS.
TRANSACTIONS = f"""
INSERT INTO fact_transactions (transaction_id, mobile_id, total_amount, created_at)
SELECT n,
  CASE WHEN {_chance("n", 1)} >= 0.1 THEN
    '+44' || 7000000000 + (1 + floor(%(customers)s * {_chance("n", 2)} ^ 2)::bigint) * 961748941 %% 999999937 END,
  (CASE WHEN {_chance("n", 3)} < 0.01 THEN -0.01 ELSE 0.01 END * (300 + floor(5000 * {_chance("n", 4)} ^ 2)::int)),
  greatest(%(start)s, %(start)s + day * interval '1 day' + make_interval(secs => 3600 * (hour + CASE hour
    WHEN 0 THEN part / (%(cumulated)s::float8[])[1]
    ELSE (part - (%(cumulated)s::float8[])[hour]) / ((%(cumulated)s::float8[])[hour + 1]
      - (%(cumulated)s::float8[])[hour]) END) - floor(600 * {_chance("n", 5)})))
FROM (SELECT n, day, part, width_bucket(part, %(cumulated)s::float8[]) AS hour
  FROM (SELECT n, floor(place)::int AS day, place - floor(place) AS part
    FROM (SELECT n, (n - 1) * {DAYS}::float8 / %(size)s AS place FROM generate_series(1, %(size)s::bigint) AS n)
      AS placed) AS parted) AS timed
"""

# One to four lines; an item is at most once in a transaction, since tills sum it in `quantity`.
LINES = f"""
INSERT INTO fact_transaction_items (id, transaction_id, item_id, quantity, price)
SELECT 4 * (n - 1) + line, n, item, CASE WHEN {_chance("4 * n + line", 7)} < 0.8 THEN 1 ELSE 2 END,
  0.01 * (150 + item * 37 %% 2500)
FROM (SELECT n, line, 1 + (floor(%(items)s * {_chance("n", 8)} ^ 2)::bigint
    + (line - 1) * (1 + floor(49 * {_chance("n", 9)})::bigint)) %% %(items)s AS item
  FROM generate_series(1, %(size)s::bigint) AS n
  CROSS JOIN LATERAL generate_series(1, 1 + floor(4 * {_chance("n", 6)})::int) AS line) AS ordered
"""

MENU = """
INSERT INTO dim_menu_items (item_id, menu_item_name, price, category)
SELECT n, 'Dish ' || n, 0.01 * (150 + n * 37 %% 2500), 'Category ' || n %% 8
FROM generate_series(1, %(items)s) AS n
"""


def make(url: str, size: int, start: datetime = START, customers: int | None = None, *, items: int = ITEMS) -> None:
    """Create and fill the source tables of an empty database, with keys, recommended indexes and statistics.

    `customers` is the number of ids that orders are drawn from, by default a tenth of the orders'. The tables are
    vacuumed, since autovacuum would do it within the first minutes, during a measurement.
    """
    values = {
        "size": size,
        "customers": customers or size // 10,
        "items": items,
        "start": start,
        "cumulated": _cumulated(),
    }
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET maintenance_work_mem = '1GB'; SET timezone = 'UTC'")
        for table in SOURCE_TABLES.values():
            types = {**table.columns, **table.made_as}
            columns = sql.SQL(", ").join(sql.SQL(f"{name} {kind}") for name, kind in types.items())
            connection.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(table.name), columns))
        connection.execute(TRANSACTIONS, values)
        connection.execute(LINES, values)
        connection.execute(MENU, values)
        _fill_dayparts(connection)
        for table in SOURCE_TABLES.values():
            name, key = sql.Identifier(table.name), sql.Identifier(table.key)
            connection.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})").format(name, key))
            for index in table.indexes:
                connection.execute(index)
            connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(name))
        connection.execute("CHECKPOINT")


def _fill_dayparts(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Insert the default dayparts, for implementations that join them."""
    for daypart in DEFAULT_DAYPARTS:
        connection.execute(
            "INSERT INTO dim_menu_daytimes VALUES (%s, %s, time '00:00' + %s * interval '1 minute',"
            " time '00:00' + %s * interval '1 minute')",
            [daypart.daytime_id, daypart.label, daypart.start // MINUTE, daypart.end // MINUTE],
        )


def until_now() -> datetime:
    """The start with which the orders end at the start of the current business day."""
    today = (datetime.now(UTC) - timedelta(hours=4)).replace(hour=4, minute=0, second=0, microsecond=0)
    return today - timedelta(days=DAYS)


def import_orders(url: str, orders: int) -> tuple[int, int]:
    """Add current orders, as an import does; returns their first and last id."""
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
