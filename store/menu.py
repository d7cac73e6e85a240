"""Menu in bulk: one chunk of transactions and their lines to counts per stretch of days, daypart and item.

The SQL is raw since it is built from the source's column types and the run's dayparts. Chunks take the same
range of transaction ids on both sides of the join. What a chunk finds goes through a landing table, so that
one reading of the source gives the counts and all that was left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from psycopg import sql
from sqlalchemy import delete
from sqlalchemy.orm import Session

from store import source
from store.bulk import insert_from_source
from store.database import driver
from store.models import MenuResult, MenuTotal, Part, Run
from store.window import Plan, business_date, in_stretches, in_window, key_range, local_time, stretch

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


def _line_amount(plan: Plan) -> tuple[sql.Composable, sql.Composable]:
    """A line's amount as exact numeric, rounded to cents, and whether it is finite."""
    types = {name: plan["columns"]["fact_transaction_items"][name] for name in ("quantity", "price")}
    # Held against the columns and not their product, which would be worked out once more each time.
    usable = sql.SQL("({})").format(
        sql.SQL(" AND ").join(source.finite(sql.Identifier(name), kind) for name, kind in types.items())
    )
    price = source.exact(sql.Identifier("price"), types["price"])
    if types["quantity"] in source.INTEGERS:
        # PostgreSQL makes the product numeric by itself; a whole quantity brings no fraction of a cent.
        amount = sql.SQL("quantity * {}").format(price)
        return (amount if source.has_cents_only(types["price"]) else sql.SQL("round({}, 2)").format(amount)), usable
    quantity = source.exact(sql.Identifier("quantity"), types["quantity"])
    return sql.SQL("round({} * {}, 2)").format(quantity, price), usable


@dataclass(frozen=True)
class _Reading:
    """What a part reads: which transactions, and how their lines are joined to them."""

    transactions: sql.Composable
    lines: sql.Composable
    joined: str


def _chunk(part: Part) -> _Reading:
    """A range of transaction ids on both sides of the join; the last one also takes lines that name none."""
    ids = key_range(sql.Identifier("transaction_id"), part, "bigint")
    orphans = sql.SQL(" OR transaction_id IS NULL") if part.upper is None else sql.SQL("")
    joined = "({lines}) AS i LEFT JOIN transactions t ON t.transaction_id = i.transaction_id"
    return _Reading(ids, sql.SQL("{}{}").format(ids, orphans), joined)


def _stretches(plan: Plan) -> _Reading:
    """The touched stretches of business days; each transaction's lines are looked up, since the days are few."""
    same = sql.SQL("fact_transaction_items.transaction_id = t.transaction_id")
    touched = in_stretches(plan, plan["stretches"])
    return _Reading(touched, same, "transactions t CROSS JOIN LATERAL ({lines} OFFSET 0) AS i")


def tally_query(plan: Plan, part: Part) -> sql.Composed:
    """One reading of a chunk, or of touched stretches: rows of (stretch, daytime_id, item_id, a, b, c, d).

    With a daypart: an item's orders, quantity and cents in that stretch and daypart, and the transactions whose
    first counted line it is, which over all items are the transactions with a counted line. Without one, to be
    summed: lines without a transaction, skipped lines, transactions in gaps, skipped transactions.

    The lines come in order of transaction, counted ones first and those in order of item; so a line knows by
    the one before it whether it is its transaction's first or its item's first there, and no set of pairs is
    ever kept. OFFSET 0 fences what would otherwise be worked out once per use.
    """
    amount_type = plan["columns"]["fact_transactions"]["total_amount"]
    reading = _stretches(plan) if "since" in plan else _chunk(part)
    line_amount, line_usable = _line_amount(plan)
    lines = sql.SQL(
        "SELECT transaction_id, item_id, quantity, {amount} AS amount, {usable} AS usable"
        " FROM fact_transaction_items WHERE {which}"
    ).format(amount=line_amount, usable=line_usable, which=reading.lines)
    return sql.SQL(
        "WITH transactions AS MATERIALIZED ("
        " SELECT transaction_id, skipped, {stretch} AS stretch, {daypart} AS daytime_id,"
        "  local IS NOT NULL AS counted"
        " FROM (SELECT transaction_id, wanted AND usable IS NOT TRUE AS skipped,"
        "   CASE WHEN wanted AND usable AND amount >= 0.01 THEN {local} END AS local"
        "  FROM (SELECT transaction_id, created_at, amount,"
        "    {finite} AND isfinite(created_at) AS usable,"
        "    {window} IS NOT FALSE OR NOT isfinite(created_at) AS wanted"
        "   FROM (SELECT transaction_id, created_at, {amount} AS amount"
        "    FROM fact_transactions WHERE {which} OFFSET 0) AS rows) AS told OFFSET 0) AS timed"
        "), lines AS ("
        " SELECT i.transaction_id, item_id, quantity, amount, stretch, daytime_id,"
        "  t.transaction_id IS NULL AS orphan, counted AND (usable AND item_id IS NOT NULL) IS NOT TRUE AS skipped,"
        "  (usable AND quantity > 0 AND daytime_id IS NOT NULL AND item_id IS NOT NULL) IS TRUE AS counts"
        " FROM {joined}"
        "), flagged AS ("
        " SELECT *, lag(transaction_id) OVER inside IS DISTINCT FROM transaction_id AS opens,"
        "  (lag(transaction_id) OVER inside, lag(item_id) OVER inside)"
        "   IS DISTINCT FROM (transaction_id, item_id) AS new"
        " FROM lines WINDOW inside AS (ORDER BY transaction_id, counts DESC, item_id)"
        ")"
        " SELECT CASE WHEN counts THEN stretch END, CASE WHEN counts THEN daytime_id END,"
        "  CASE WHEN counts THEN item_id END::bigint,"
        "  count(*) FILTER (WHERE CASE WHEN counts THEN new ELSE orphan END),"
        "  sum(CASE WHEN counts THEN quantity ELSE skipped::int END)::bigint,"
        "  (100 * coalesce(sum(CASE WHEN counts THEN amount END), 0))::bigint,"
        "  count(*) FILTER (WHERE counts AND opens)"
        " FROM flagged GROUP BY 1, 2, 3"
        " UNION ALL SELECT NULL, NULL, NULL, 0, 0, count(*) FILTER (WHERE counted AND daytime_id IS NULL),"
        "  count(*) FILTER (WHERE skipped) FROM transactions"
    ).format(
        window=in_window(plan),
        local=local_time(sql.Identifier("created_at"), plan),
        amount=source.rounded(sql.Identifier("total_amount"), amount_type),
        finite=source.finite(sql.Identifier("amount"), amount_type),
        which=reading.transactions,
        stretch=stretch(business_date(sql.Identifier("local"), plan), plan),
        daypart=_daypart(plan),
        joined=sql.SQL(reading.joined).format(lines=lines),
    )


def tally(session: Session, source_url: str, run: Run, part: Part) -> dict[str, int]:
    """Store the chunk's tallies; returns what was left out and why."""
    assert run.plan is not None
    connection = driver(session)
    connection.execute(
        "CREATE TEMP TABLE menu_landing (stretch date, daytime_id int, item_id bigint,"
        " a bigint, b bigint, c bigint, d bigint) ON COMMIT DROP"
    )
    insert_from_source(session, source_url, run.plan, tally_query(run.plan, part), sql.Identifier("menu_landing"))
    connection.execute(
        "INSERT INTO menu_tallies (generation, daytime_id, stretch, chunk, transactions,"
        " items, orders, quantities, cents)"
        " SELECT %s, daytime_id, stretch, %s, sum(d),"
        " array_agg(item_id), array_agg(a), array_agg(b), array_agg(c)"
        " FROM menu_landing WHERE daytime_id IS NOT NULL GROUP BY daytime_id, stretch",
        [run.generation, part.part],
    )
    left_out = connection.execute(
        "SELECT sum(a)::bigint, sum(b)::bigint, sum(c)::bigint, sum(d)::bigint FROM menu_landing"
        " WHERE daytime_id IS NULL"
    ).fetchone()
    assert left_out is not None
    names = ("lines_without_transaction", "skipped_lines", "transactions_in_gaps", "skipped_transactions")
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


def save_totals(session: Session, generation: int, daytime_id: int, items: pd.DataFrame, transactions: int) -> None:
    """Keep what a daypart's ranks follow from, for the incremental runs to come; without orders there is nothing."""
    session.execute(delete(MenuTotal).where(MenuTotal.generation == generation, MenuTotal.daytime_id == daytime_id))
    if transactions:
        session.add(
            MenuTotal(
                generation=generation,
                daytime_id=daytime_id,
                transactions=transactions,
                items=items["menu_item_id"].tolist(),
                orders=items["orders"].tolist(),
                quantities=items["quantity"].tolist(),
                cents=items["cents"].tolist(),
            )
        )
    session.flush()


def save_ranks(
    session: Session,
    run: Run,
    daytime_id: int,
    ranked: pd.DataFrame,
    names: Mapping[int, tuple[str | None, str | None]],
) -> None:
    """Write a daypart's ranked items, unseen until the run is published."""
    session.add_all(results(run, run.generation, daytime_id, ranked, names))
    session.flush()


def results(
    run: Run, generation: int, daytime_id: int, ranked: pd.DataFrame, names: Mapping[int, tuple[str | None, str | None]]
) -> list[MenuResult]:
    """Ranked items as rows of a generation, best first."""
    return [
        MenuResult(
            generation=generation,
            daytime_id=daytime_id,
            rank=int(row["rank"]),
            menu_item_id=int(row["menu_item_id"]),
            menu_item_name=names.get(int(row["menu_item_id"]), (None, None))[0],
            category=names.get(int(row["menu_item_id"]), (None, None))[1],
            orders=int(row["orders"]),
            quantity=int(row["quantity"]),
            share=float(row["share"]),
            run_id=run.run_id,
            created_at=run.started_at,
        )
        for row in ranked.to_dict("records")
    ]


def discard(session: Session, generations: Sequence[int]) -> None:
    """Delete these generations' tallies, totals and ranks; snapshots that still read them keep seeing them."""
    for table in ("menu_tallies", "menu_totals", "menu_results"):
        driver(session).execute(
            sql.SQL("DELETE FROM {} WHERE generation = ANY(%s)").format(sql.Identifier(table)), [list(generations)]
        )
