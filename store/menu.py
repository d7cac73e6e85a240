"""Menu in bulk: one chunk of transactions and their lines to counts per business day, daypart and item.

The SQL is raw since it is built from the source's column types and the run's dayparts. Chunks take the same
range of transaction ids on both sides of the join. What a chunk finds goes through a landing table, so that
one reading of the source gives the counts and all that was left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from psycopg import sql
from sqlalchemy.orm import Session

from store import source
from store.bulk import insert_from_source
from store.database import driver
from store.models import MenuResult, Part, Run
from store.window import Plan, business_date, in_window, key_range, local_time

MINUTE = 60_000_000


def _clock(microseconds: int) -> sql.Literal:
    seconds, fraction = divmod(microseconds, 1_000_000)
    return sql.Literal(f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06}")


def _daypart(plan: Plan) -> sql.Composable:
    """The daypart of a row's `local` time, or NULL in a gap."""
    cases = [
        sql.SQL("WHEN local::time >= {}::time AND local::time < {}::time THEN {}").format(
            _clock(start), _clock(until), sql.Literal(daypart["daytime_id"])
        )
        for daypart in plan["dayparts"]
        for start, until in daypart["windows"]
    ]
    return sql.SQL("CASE {} END").format(sql.SQL(" ").join(cases))


def _line_cents(plan: Plan) -> sql.Composable:
    types = plan["columns"]["fact_transaction_items"]
    amount = sql.SQL("({} * {})").format(
        source.exact(sql.Identifier("quantity"), types["quantity"]),
        source.exact(sql.Identifier("price"), types["price"]),
    )
    return sql.SQL("100 * round({}, 2)").format(amount)


def tally_query(plan: Plan, part: Part) -> sql.Composed:
    """One reading of a chunk: rows of (business_date, daytime_id, item_id, a, b, c, d).

    With an item: its orders, quantity and cents in that day and daypart. With a daypart alone: the counted
    transactions that have a counted line. With neither: transactions in gaps, skipped transactions, lines
    without a transaction, skipped lines.
    """
    amount_type = plan["columns"]["fact_transactions"]["total_amount"]
    ids = key_range(sql.Identifier("transaction_id"), part, "bigint")
    orphans = sql.SQL(" OR transaction_id IS NULL") if part.upper is None else sql.SQL("")
    return sql.SQL(
        "WITH read_transactions AS MATERIALIZED ("
        " SELECT transaction_id, local, local IS NOT NULL AND amount >= 0.01 AS counted, skipped"
        " FROM (SELECT transaction_id, amount, CASE WHEN usable AND {window} THEN {local} END AS local,"
        "   usable IS NOT TRUE AND ({window} IS NOT FALSE OR NOT isfinite(created_at)) AS skipped"
        "  FROM (SELECT transaction_id, created_at, amount, amount < 'Infinity' AND amount > '-Infinity'"
        "    AND isfinite(created_at) AS usable"
        "   FROM (SELECT transaction_id, created_at, round({amount}, 2) AS amount"
        "    FROM fact_transactions WHERE {ids} OFFSET 0) AS t0 OFFSET 0) AS t1 OFFSET 0) AS t2"
        "), transactions AS MATERIALIZED ("
        " SELECT transaction_id, counted, skipped, {business_date} AS business_date, {daypart} AS daytime_id"
        " FROM read_transactions"
        "), lines AS MATERIALIZED ("
        " SELECT t.transaction_id, t.counted, t.business_date, t.daytime_id, i.item_id, i.quantity, i.cents,"
        "  i.cents < 'Infinity' AND i.cents > '-Infinity' AND i.item_id IS NOT NULL AS usable"
        " FROM (SELECT transaction_id, item_id, quantity, {cents} AS cents FROM fact_transaction_items"
        "  WHERE {ids}{orphans}) AS i LEFT JOIN transactions t ON t.transaction_id = i.transaction_id"
        "), items AS MATERIALIZED ("
        " SELECT transaction_id, business_date, daytime_id, item_id, sum(quantity) AS quantity, sum(cents) AS cents"
        " FROM lines WHERE counted AND usable AND quantity > 0 AND daytime_id IS NOT NULL GROUP BY 1, 2, 3, 4"
        ")"
        " SELECT business_date, daytime_id, item_id::bigint, count(*), sum(quantity)::bigint, sum(cents)::bigint,"
        "  NULL::bigint FROM items GROUP BY 1, 2, 3"
        " UNION ALL SELECT business_date, daytime_id, NULL, count(DISTINCT transaction_id), NULL, NULL, NULL"
        "  FROM items GROUP BY 1, 2"
        " UNION ALL SELECT NULL, NULL, NULL,"
        "  (SELECT count(*) FROM transactions WHERE counted AND daytime_id IS NULL),"
        "  (SELECT count(*) FROM transactions WHERE skipped),"
        "  count(*) FILTER (WHERE transaction_id IS NULL), count(*) FILTER (WHERE counted AND usable IS NOT TRUE)"
        "  FROM lines"
    ).format(
        window=in_window(plan),
        local=local_time(sql.Identifier("created_at"), plan),
        amount=source.exact(sql.Identifier("total_amount"), amount_type),
        ids=ids,
        business_date=business_date(sql.Identifier("local"), plan),
        daypart=_daypart(plan),
        cents=_line_cents(plan),
        orphans=orphans,
    )


def tally(session: Session, source_url: str, run: Run, part: Part) -> dict[str, int]:
    """Store the chunk's tallies; returns what was left out and why."""
    assert run.plan is not None
    connection = driver(session)
    connection.execute(
        "CREATE TEMP TABLE menu_landing (business_date date, daytime_id int, item_id bigint,"
        " a bigint, b bigint, c bigint, d bigint) ON COMMIT DROP"
    )
    insert_from_source(session, source_url, run.plan, tally_query(run.plan, part), sql.Identifier("menu_landing"))
    connection.execute(
        "INSERT INTO menu_tallies (generation, daytime_id, business_date, chunk, transactions,"
        " items, orders, quantities, cents)"
        " SELECT %s, daytime_id, business_date, %s, min(a) FILTER (WHERE item_id IS NULL),"
        " array_agg(item_id) FILTER (WHERE item_id IS NOT NULL), array_agg(a) FILTER (WHERE item_id IS NOT NULL),"
        " array_agg(b) FILTER (WHERE item_id IS NOT NULL), array_agg(c) FILTER (WHERE item_id IS NOT NULL)"
        " FROM menu_landing WHERE daytime_id IS NOT NULL GROUP BY daytime_id, business_date",
        [run.generation, part.part],
    )
    left_out = connection.execute("SELECT a, b, c, d FROM menu_landing WHERE daytime_id IS NULL").fetchone()
    assert left_out is not None
    names = ("transactions_in_gaps", "skipped_transactions", "lines_without_transaction", "skipped_lines")
    return dict(zip(names, left_out, strict=True))


def daypart_tallies(session: Session, run: Run, daytime_id: int) -> tuple[pd.DataFrame, int]:
    """A daypart's items over all chunks and days (menu_item_id, orders, quantity, cents), and its transactions."""
    connection = driver(session)
    rows = connection.execute(
        "SELECT item, sum(o)::bigint, sum(q)::bigint, sum(c)::bigint"
        " FROM menu_tallies, unnest(items, orders, quantities, cents) AS t (item, o, q, c)"
        " WHERE generation = %s AND daytime_id = %s GROUP BY item",
        [run.generation, daytime_id],
    ).fetchall()
    counted = connection.execute(
        "SELECT coalesce(sum(transactions), 0)::bigint FROM menu_tallies WHERE generation = %s AND daytime_id = %s",
        [run.generation, daytime_id],
    ).fetchone()
    assert counted is not None
    frame = pd.DataFrame(rows, columns=["menu_item_id", "orders", "quantity", "cents"]).astype("int64")
    return frame, counted[0]


def save_ranks(
    session: Session,
    run: Run,
    daytime_id: int,
    ranked: pd.DataFrame,
    names: Mapping[int, tuple[str | None, str | None]],
) -> None:
    """Write a daypart's ranked items, unseen until the run is published."""
    for row in ranked.to_dict("records"):
        name, category = names.get(int(row["menu_item_id"]), (None, None))
        session.add(
            MenuResult(
                generation=run.generation,
                daytime_id=daytime_id,
                rank=int(row["rank"]),
                menu_item_id=int(row["menu_item_id"]),
                menu_item_name=name,
                category=category,
                orders=int(row["orders"]),
                quantity=int(row["quantity"]),
                share=float(row["share"]),
                run_id=run.run_id,
                created_at=run.started_at,
            )
        )
    session.flush()


def discard(session: Session, generations: Sequence[int]) -> None:
    """Delete these generations' tallies and ranks; snapshots that still read them keep seeing them."""
    for table in ("menu_tallies", "menu_results"):
        driver(session).execute(
            sql.SQL("DELETE FROM {} WHERE generation = ANY(%s)").format(sql.Identifier(table)), [list(generations)]
        )
