"""The menu's tallies (counts per chunk, bucket of days, daypart and item), totals and ranks in bulk.

A part stores its tallies as arrays, since there are many and they are only summed; a daypart's ranks are a few rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from psycopg import sql
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from errors import SourceError
from kinds.arrays import WholeArray
from kinds.menu.models import MenuResult, MenuTally, MenuTotal
from kinds.menu.rules import quantity_unit
from source import limits
from source import menu as source_menu
from source.window import date_of
from store.database import driver
from store.models import Part, Run


def save_tallies(session: Session, run: Run, part: Part, items: pd.DataFrame, transactions: pd.DataFrame) -> None:
    """Store a part's tallies.

    `items` has `day_bucket` (its first day, in days since 2000-01-01), `daytime_id`, `item_id`, `orders`, `quantity`,
    `cents`, maybe `margin`, and `transactions` for each day bucket and daypart the `transactions` with a counted line.
    """
    places = items[["day_bucket", "daytime_id"]].to_numpy()
    opens = np.flatnonzero((places[1:] != places[:-1]).any(axis=1)) + 1
    names = ["item_id", "orders", "quantity", "cents", *(["margin"] if "margin" in items else [])]
    columns = [np.split(items[name].to_numpy(), opens) for name in names]
    # Both are in order of their places, and a place has items exactly where it has transactions.
    counted = transactions.to_numpy().tolist() if len(items) else []
    rows = [
        (run.generation, daytime_id, date_of(first), part.part, number, *arrays, *[None] * (5 - len(arrays)))
        for (first, daytime_id, number), arrays in zip(counted, zip(*columns, strict=True), strict=False)
    ]
    connection = driver(session)
    connection.adapters.register_dumper(np.ndarray, WholeArray)
    connection.cursor().executemany(
        "INSERT INTO menu_tallies (generation, daytime_id, day_bucket, chunk, transactions, items, orders, quantities,"
        " cents, margins) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        rows,
    )


def day_buckets(session: Session, generation: int) -> list[str]:
    """The first days of the day buckets that a generation has tallies of."""
    found = session.scalars(select(MenuTally.day_bucket).where(MenuTally.generation == generation).distinct())
    return [day_bucket.isoformat() for day_bucket in found]


def daypart_tallies(session: Session, run: Run, daytime_id: int) -> tuple[pd.DataFrame, int]:
    """A daypart's items over all chunks and days, as `rank_items` takes them, and its transactions."""
    connection = driver(session)
    rows = connection.execute(
        "SELECT item, sum(o)::bigint, sum(q)::bigint, sum(c)::bigint, coalesce(sum(m), 0)::bigint"
        " FROM menu_tallies, unnest(items, orders, quantities, cents, margins) AS t (item, o, q, c, m)"
        " WHERE generation = %s AND daytime_id = %s GROUP BY item",
        [run.generation, daytime_id],
    ).fetchall()
    counted = connection.execute(
        "SELECT coalesce(sum(transactions), 0)::bigint FROM menu_tallies WHERE generation = %s AND daytime_id = %s",
        [run.generation, daytime_id],
    ).fetchone()
    assert counted is not None
    frame = pd.DataFrame(rows, columns=["menu_item_id", "orders", "quantity", "cents", "margin"]).astype("int64")
    return frame, counted[0]


def save_totals(session: Session, generation: int, daytime_id: int, items: pd.DataFrame, transactions: int) -> None:
    """Store a daypart's item totals, so that an incremental run can update them; none without orders."""
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
                margins=items["margin"].tolist(),
            )
        )
    session.flush()


def save_ranks(session: Session, run: Run, daytime_id: int, ranked: pd.DataFrame) -> None:
    """Store a daypart's ranked items, not visible until the run is published."""
    session.add_all(results(run, run.generation, daytime_id, ranked))
    session.flush()


def results(run: Run, generation: int, daytime_id: int, ranked: pd.DataFrame) -> list[MenuResult]:
    """Ranked items as rows of a generation, best first, without names.

    Raises
    ------
    SourceError
        When a quantity is larger than `menu_recommendation` can show.
    """
    assert run.plan is not None
    if len(ranked) and int(ranked["quantity"].max()) >= limits.QUANTITY * quantity_unit(run.plan):
        raise SourceError("An item's quantity is out of range.", code=limits.CODE)
    return [
        MenuResult(
            generation=generation,
            daytime_id=daytime_id,
            rank=int(row["rank"]),
            menu_item_id=int(row["menu_item_id"]),
            orders=int(row["orders"]),
            units=int(row["quantity"]),
            units_per_piece=quantity_unit(run.plan),
            share=float(row["share"]),
            run_id=run.run_id,
            created_at=run.started_at,
        )
        for row in ranked.to_dict("records")
    ]


def counted_items(session: Session, generation: int) -> list[int]:
    """The items counted in any daypart."""
    found = select(func.unnest(MenuTotal.items)).where(MenuTotal.generation == generation).distinct()
    return list(session.scalars(found))


def save_menu(session: Session, generation: int, menu: Mapping[int, source_menu.MenuItem]) -> None:
    """Store names, prices and costs of a generation's items; writes only what differs, here and in the ranks."""
    driver(session).execute(
        "DELETE FROM menu_items WHERE generation = %s AND item_id <> ALL(%s::bigint[])", [generation, list(menu)]
    )
    names = ("names", "categories", "prices", "costs")
    columns = [list(column) for column in zip(*menu.values(), strict=True)] or [[]] * len(names)
    driver(session).execute(
        "INSERT INTO menu_items (generation, item_id, menu_item_name, category, price, cost)"
        " SELECT %(generation)s, read.* FROM unnest(%(items)s::bigint[], %(names)s::text[], %(categories)s::text[],"
        "   %(prices)s::numeric[], %(costs)s::numeric[]) AS read (item_id, menu_item_name, category, price, cost)"
        " LEFT JOIN menu_items AS known ON generation = %(generation)s AND known.item_id = read.item_id"
        " WHERE known.item_id IS NULL OR (known.menu_item_name, known.category, known.price, known.cost)"
        "   IS DISTINCT FROM (read.menu_item_name, read.category, read.price, read.cost)"
        " ON CONFLICT (generation, item_id) DO UPDATE SET menu_item_name = excluded.menu_item_name,"
        "   category = excluded.category, price = excluded.price, cost = excluded.cost",
        {"generation": generation, "items": list(menu)} | dict(zip(names, columns, strict=True)),
    )
    driver(session).execute(
        "UPDATE menu_results AS ranked SET menu_item_name = named.menu_item_name, category = named.category"
        " FROM menu_results AS of_rank LEFT JOIN menu_items AS named"
        "   ON named.generation = of_rank.generation AND named.item_id = of_rank.menu_item_id"
        " WHERE of_rank.generation = %s AND (ranked.generation, ranked.daytime_id, ranked.rank)"
        "   = (of_rank.generation, of_rank.daytime_id, of_rank.rank)"
        " AND (ranked.menu_item_name, ranked.category) IS DISTINCT FROM (named.menu_item_name, named.category)",
        [generation],
    )


def discard(session: Session, generations: Sequence[int]) -> None:
    """Delete these generations' tallies, totals, ranks and items; existing snapshots can still read them."""
    for table in ("menu_tallies", "menu_totals", "menu_results", "menu_items"):
        driver(session).execute(
            sql.SQL("DELETE FROM {} WHERE generation = ANY(%s)").format(sql.Identifier(table)), [list(generations)]
        )
