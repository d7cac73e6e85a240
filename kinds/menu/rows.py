"""The menu's tallies and ranks: counts per chunk, bucket of days, daypart and item; and what follows from them.

A part stores its tallies as arrays, since they are many and only ever summed; a daypart's ranks are a few rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from psycopg import sql
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from errors import SourceError
from kinds.menu.models import MenuResult, MenuTally, MenuTotal
from source import limits
from source.window import Plan, date_of
from store.database import driver
from store.models import Part, Run


def quantity_unit(plan: Plan) -> int:
    """How many of the units in which a run's tallies count quantities make a piece: 1, or 1000 for weighed goods."""
    return int(plan.get("quantity_unit", 1))


def save_tallies(session: Session, run: Run, part: Part, items: pd.DataFrame, transactions: pd.DataFrame) -> None:
    """Store what a part counted.

    `items` has `day_bucket` (its first day, in days since 2000-01-01), `daytime_id`, `item_id`, `orders`, `quantity`,
    `cents`, and `transactions` for each day bucket and daypart the `transactions` with a counted line.
    """
    place = ["day_bucket", "daytime_id"]
    found = dict(iter(items.groupby(place)))
    session.add_all(
        MenuTally(
            generation=run.generation,
            daytime_id=daytime_id,
            day_bucket=date_of(day_bucket),
            chunk=part.part,
            transactions=counted,
            items=found[day_bucket, daytime_id]["item_id"].tolist(),
            orders=found[day_bucket, daytime_id]["orders"].tolist(),
            quantities=found[day_bucket, daytime_id]["quantity"].tolist(),
            cents=found[day_bucket, daytime_id]["cents"].tolist(),
        )
        for day_bucket, daytime_id, counted in transactions[[*place, "transactions"]].to_numpy().tolist()
    )
    session.flush()


def day_buckets(session: Session, generation: int) -> list[str]:
    """The first days of the day buckets that a generation has tallies of."""
    found = session.scalars(select(MenuTally.day_bucket).where(MenuTally.generation == generation).distinct())
    return [day_bucket.isoformat() for day_bucket in found]


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


def save_ranks(session: Session, run: Run, daytime_id: int, ranked: pd.DataFrame) -> None:
    """Write a daypart's ranked items, unseen until the run is published."""
    session.add_all(results(run, run.generation, daytime_id, ranked))
    session.flush()


def results(run: Run, generation: int, daytime_id: int, ranked: pd.DataFrame) -> list[MenuResult]:
    """Ranked items as rows of a generation, best first, without names.

    Raises
    ------
    SourceError
        When a quantity is more than `menu_recommendation` can show.
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


def ranked_items(session: Session, generation: int) -> list[int]:
    """The items that are ranked in any daypart."""
    found = select(MenuResult.menu_item_id).where(MenuResult.generation == generation).distinct()
    return list(session.scalars(found))


def save_names(session: Session, generation: int, names: Mapping[int, tuple[str | None, str | None]]) -> None:
    """Give a generation's ranked items these names and categories, in all dayparts, where theirs differ."""
    driver(session).execute(
        "UPDATE menu_results AS ranked SET menu_item_name = named.name, category = named.category"
        " FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS named (item, name, category)"
        " WHERE generation = %s AND menu_item_id = item"
        " AND (ranked.menu_item_name, ranked.category) IS DISTINCT FROM (named.name, named.category)",
        [list(names), [name for name, _ in names.values()], [category for _, category in names.values()], generation],
    )


def discard(session: Session, generations: Sequence[int]) -> None:
    """Delete these generations' tallies, totals and ranks; snapshots that still read them keep seeing them."""
    for table in ("menu_tallies", "menu_totals", "menu_results"):
        driver(session).execute(
            sql.SQL("DELETE FROM {} WHERE generation = ANY(%s)").format(sql.Identifier(table)), [list(generations)]
        )
