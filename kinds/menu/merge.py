"""The menu's incremental run: the touched day buckets' new tallies replace their old ones, and the totals follow.

All of it happens in the transaction that publishes. A daypart's new totals are the published generation's minus the old
tallies of its touched buckets plus the new ones. They are whole numbers, so there is no drift.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.menu import rank_items
from kinds.base import summed
from kinds.menu import history, rows
from kinds.menu.models import MenuResult
from kinds.menu.names import name_items
from kinds.menu.rules import ranking
from settings import Settings
from store import progress, publishing
from store.database import driver
from store.models import Run

_PARTS = """
SELECT daytime_id, transactions, items, orders, quantities, cents, margins, 1 AS sign
FROM menu_totals WHERE generation = %(published)s
UNION ALL SELECT daytime_id, transactions, items, orders, quantities, cents, margins, -1
FROM menu_tallies WHERE generation = %(published)s AND day_bucket = ANY(%(day_buckets)s::date[])
UNION ALL SELECT daytime_id, transactions, items, orders, quantities, cents, margins, 1
FROM menu_tallies WHERE generation = %(mine)s
"""

_TOUCHED = """
SELECT DISTINCT daytime_id FROM menu_tallies
WHERE generation = %(mine)s OR generation = %(published)s AND day_bucket = ANY(%(day_buckets)s::date[])
ORDER BY 1
"""

_ITEMS = f"""
SELECT daytime_id, item, sum(sign * o)::bigint, sum(sign * q)::bigint, sum(sign * c)::bigint,
  coalesce(sum(sign * m), 0)::bigint
FROM ({_PARTS}) AS parts, unnest(items, orders, quantities, cents, margins) AS t (item, o, q, c, m)
WHERE daytime_id = ANY(%(touched)s)
GROUP BY daytime_id, item HAVING sum(sign * o) > 0
"""  # noqa: S608  # put together from what stands above

_TRANSACTIONS = f"""
SELECT daytime_id, sum(sign * transactions)::bigint FROM ({_PARTS}) AS parts GROUP BY daytime_id
"""  # noqa: S608  # put together from what stands above


def merge(session: Session, settings: Settings, run: Run) -> None:
    """Replace the touched day buckets' tallies, rank their dayparts again, and write the ranks that differ."""
    assert run.plan is not None
    ranked = {
        daypart: rank_items(items, transactions, ranking(run.plan))
        for daypart, items, transactions in _merged(session, run)
    }
    changed = sum(_write_ranks(session, run, daypart, best) for daypart, best in ranked.items())
    counted = summed(progress.parts(session, run, "tally"))  # an older version planned no part if no day had changed
    run.counts = counted | {"day_buckets": len(run.plan["day_buckets"]), "changed_ranks": changed}
    name_items(session, settings, run.plan["since"]["generation"])
    history.update(session, run, run.plan["since"]["generation"])
    publishing.name_current(session, run, run.plan["since"]["generation"])


def _merged(session: Session, run: Run) -> Iterator[tuple[int, pd.DataFrame, int]]:
    """Replace the touched buckets' tallies by the run's; yields each touched daypart's new items and transactions."""
    assert run.plan is not None
    connection = driver(session)
    names = {
        "published": run.plan["since"]["generation"],
        "mine": run.generation,
        "day_buckets": run.plan["day_buckets"],
    }
    touched = [daypart for (daypart,) in connection.execute(_TOUCHED, names).fetchall()]
    tallied = connection.execute(_ITEMS, names | {"touched": touched}).fetchall()
    transactions: dict[int, int] = dict(connection.execute(_TRANSACTIONS, names).fetchall())
    columns = ["daytime_id", "menu_item_id", "orders", "quantity", "cents", "margin"]
    items = pd.DataFrame(tallied, columns=columns).astype("int64")
    connection.execute(
        "DELETE FROM menu_tallies WHERE generation = %(published)s AND day_bucket = ANY(%(day_buckets)s::date[])", names
    )
    connection.execute("UPDATE menu_tallies SET generation = %(published)s WHERE generation = %(mine)s", names)
    for daypart in touched:
        found = items[items["daytime_id"] == daypart].drop(columns="daytime_id")
        rows.save_totals(session, names["published"], daypart, found, transactions[daypart])
        yield daypart, found, transactions[daypart]


def _write_ranks(session: Session, run: Run, daytime_id: int, ranked: pd.DataFrame) -> int:
    """Write a daypart's ranks that differ into the published generation; returns the number of rows."""
    assert run.plan is not None
    generation = run.plan["since"]["generation"]
    wanted = rows.results(run, generation, daytime_id, ranked)
    old = {
        row.rank: row
        for row in session.scalars(
            select(MenuResult).where(MenuResult.generation == generation, MenuResult.daytime_id == daytime_id)
        )
    }
    written = 0
    with session.no_autoflush:  # or each would be written by a statement of its own
        for row in wanted:
            before = old.get(row.rank)
            if before is None or _values(before) != _values(row):
                session.merge(row)
                written += 1
    gone = [row for rank, row in old.items() if rank > len(wanted)]
    for row in gone:
        session.delete(row)
    session.flush()
    return written + len(gone)


def _values(row: MenuResult) -> tuple[int, int, int, float]:
    return row.menu_item_id, row.orders, row.units, row.share
