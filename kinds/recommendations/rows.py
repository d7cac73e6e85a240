"""Tallies and orders by daypart in our tables: bulk SQL, with arrays as bytes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy import delete
from sqlalchemy.orm import Session

from analytics.recommendations.tallies import Tallies
from kinds.arrays import WholeArray, whole
from kinds.recommendations import profile_rows
from kinds.recommendations.models import DaypartOrders, StoredTallies
from kinds.recommendations.stored import as_bytes, from_bytes
from kinds.recommendations.visits import Counted
from source.window import date_of
from store.database import driver
from store.models import Part, Run

Whole = NDArray[np.int64]

ALL = -1  # the part under which the tallies of all customers are stored
SLICE = 1_000_000  # pairs
PAIR = np.dtype([("first", "<u2"), ("second", "<u2"), ("customers", "<u4")])


def save_orders(session: Session, run: Run, part: Part, counted: Counted) -> None:
    """Store a part's orders by day bucket and daypart, replacing those of an earlier attempt."""
    session.execute(
        delete(DaypartOrders).where(DaypartOrders.generation == run.generation, DaypartOrders.part == part.part)
    )
    # Both are in order of their places, and a place has items exactly where it has transactions.
    places = counted.orders[["day_bucket", "daypart"]].to_numpy()
    opens = np.flatnonzero((places[1:] != places[:-1]).any(axis=1)) + 1
    arrays = (np.split(counted.orders[name].to_numpy(), opens) for name in ("item_id", "orders"))
    cursor = driver(session).cursor()
    cursor.adapters.register_dumper(np.ndarray, WholeArray)
    cursor.executemany(
        "INSERT INTO recommendation_orders (generation, part, day_bucket, daypart, transactions, items, orders)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [
            (run.generation, part.part, date_of(day_bucket), *place, *of_place)
            for (day_bucket, *place), of_place in zip(
                counted.transactions.to_numpy().tolist(), zip(*arrays, strict=True), strict=bool(len(places))
            )
        ],
    )


def move_orders(session: Session, generation: int, into: int, day_buckets: Sequence[str]) -> None:
    """Replace a generation's orders of these day buckets by another generation's."""
    names = {"generation": generation, "into": into, "day_buckets": list(day_buckets)}
    for statement in (
        "DELETE FROM recommendation_orders WHERE generation = %(into)s AND day_bucket = ANY(%(day_buckets)s::date[])",
        "UPDATE recommendation_orders SET generation = %(into)s WHERE generation = %(generation)s",
    ):
        driver(session).execute(statement, names)


def item_orders(session: Session, generation: int) -> list[tuple[int, int]]:
    """Each item with its orders at all times of day; most orders first, then the lowest id."""
    return (
        driver(session)
        .execute(
            "SELECT item, sum(o)::bigint FROM recommendation_orders, unnest(items, orders) AS t (item, o)"
            " WHERE generation = %s GROUP BY item ORDER BY 2 DESC, 1",
            [generation],
        )
        .fetchall()
    )


def daypart_orders(session: Session, generation: int, item_ids: Whole, dayparts: int) -> tuple[Whole, Whole]:
    """Orders (dayparts, items by code), and transactions (dayparts)."""
    orders, transactions = np.zeros((dayparts, len(item_ids)), dtype=np.int64), np.zeros(dayparts, dtype=np.int64)
    sorter = np.argsort(item_ids)
    rows = driver(session).execute(
        "SELECT daypart, transactions, array_send(items), array_send(orders) FROM recommendation_orders"
        " WHERE generation = %s",
        [generation],
        binary=True,
    )
    for daypart, count, items, its in rows:
        orders[daypart, sorter[np.searchsorted(item_ids, whole(items), sorter=sorter)]] += whole(its)
        transactions[daypart] += count
    return orders, transactions


def save_tallies(session: Session, generation: int, part: int, tallies: Tallies) -> None:
    """Store tallies, in slices of bounded size, replacing those of an earlier attempt."""
    session.execute(delete(StoredTallies).where(StoredTallies.generation == generation, StoredTallies.part == part))
    sums = {name: values for name, values in vars(tallies).items() if not name.startswith("pair")}
    query = "INSERT INTO recommendation_tallies (generation, part, slice, data) VALUES (%s, %s, %s, %s)"
    for number, data in enumerate(itertools.chain([as_bytes(**sums)], _slices(tallies))):
        driver(session).execute(query, [generation, part, number, data])


def _slices(tallies: Tallies) -> Iterator[bytes]:
    for first in range(0, len(tallies.pairs), SLICE):
        keys = tallies.pairs[first : first + SLICE]
        pairs = np.empty(len(keys), dtype=PAIR)
        pairs["first"], pairs["second"] = keys >> 32, keys & 0xFFFFFFFF
        pairs["customers"] = tallies.pair_customers[first : first + SLICE]
        yield pairs.tobytes()


def load_tallies(session: Session, generation: int, part: int) -> Tallies:
    """A part's tallies."""
    rows = driver(session).execute(
        "SELECT data FROM recommendation_tallies WHERE generation = %s AND part = %s ORDER BY slice",
        [generation, part],
        binary=True,
    )
    sums, *slices = [bytes(data) for (data,) in rows.fetchall()]
    keys, customers = np.empty((2, sum(map(len, slices)) // PAIR.itemsize), dtype=np.int64)
    done = 0
    for data in slices:
        pairs = np.frombuffer(data, dtype=PAIR)
        mine = slice(done, done + len(pairs))
        keys[mine] = pairs["first"].astype(np.int64) << 32 | pairs["second"].astype(np.int64)
        customers[mine] = pairs["customers"]
        done += len(pairs)
    return Tallies(**from_bytes(sums), pairs=keys, pair_customers=customers)


def discard_tallies(session: Session, generation: int) -> None:
    """Remove a generation's tallies."""
    session.execute(delete(StoredTallies).where(StoredTallies.generation == generation))


def start_again(session: Session, generation: int) -> None:
    """Remove everything that the parts of a run have stored."""
    driver(session).execute(sql.SQL("TRUNCATE {}").format(profile_rows.partition(generation)))
    _delete(session, [generation])


def discard(session: Session, generations: Sequence[int]) -> None:
    """Remove everything that generations have stored."""
    for generation in generations:
        driver(session).execute(sql.SQL("DROP TABLE IF EXISTS {}").format(profile_rows.partition(generation)))
    _delete(session, generations)


def _delete(session: Session, generations: Sequence[int]) -> None:
    for table in ("orders", "tallies", "outcomes", "models", "segments"):
        query = sql.SQL("DELETE FROM {} WHERE generation = ANY(%s)").format(sql.Identifier(f"recommendation_{table}"))
        driver(session).execute(query, [list(generations)])
