"""Profiles, tallies, orders by daypart and models in our tables: bulk SQL, with arrays as bytes.

Profiles are in a partition of `recommendation_profiles` for each generation. The SQL is raw since these rows are
only moved in bulk, in PostgreSQL's binary COPY format, which is built here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy import delete
from sqlalchemy.orm import Session

from analytics.recommendations.packing import Packed, pack, unpack
from analytics.recommendations.profiles import Profiles
from analytics.recommendations.tallies import Tallies
from kinds.recommendations.models import DaypartOrders, StoredTallies
from kinds.recommendations.stored import as_bytes, from_bytes
from kinds.recommendations.visits import Counted
from source.window import date_of
from store.database import driver
from store.models import Part, Run

Whole = NDArray[np.int64]

ALL = -1  # the part under which the tallies of all customers are stored
SLICE = 2_000_000  # pairs
PAIR = np.dtype([("first", "<u2"), ("second", "<u2"), ("customers", "<u4")])
COLUMNS = ("generation", "known", "visits", "hits", "segment", "wide", "mobile_id", "items", "cells")
HEAD = struct.Struct(">hiqiqiiiiihi?i")  # nine fields: the fixed ones with their lengths, and the length of the id
LENGTH = struct.Struct(">i")
COPY_START, COPY_END = b"PGCOPY\n\xff\r\n\0" + bytes(8), struct.pack(">h", -1)


class Customers(NamedTuple):
    """Stored customers: ids, segment numbers and profiles."""

    mobile_ids: list[str]
    segments: Whole
    profiles: Profiles


def partition(generation: int) -> sql.Identifier:
    """The table of a generation's profiles."""
    return sql.Identifier(f"recommendation_profiles_g{generation}")


def create_generation(session: Session, generation: int) -> None:
    """Create a generation's partition, not yet visible to readers."""
    for statement in (
        "CREATE TABLE {table} (LIKE recommendation_profiles INCLUDING STORAGE)",
        "ALTER TABLE recommendation_profiles ATTACH PARTITION {table} FOR VALUES IN ({generation})",
    ):
        names = {"table": partition(generation), "generation": sql.Literal(generation)}
        driver(session).execute(sql.SQL(statement).format(**names))


def index_generation(session: Session, generation: int) -> None:
    """Index a generation's profiles by customer."""
    name = sql.Identifier(f"recommendation_profiles_g{generation}_key")
    query = sql.SQL("CREATE UNIQUE INDEX IF NOT EXISTS {} ON {} (mobile_id)").format(name, partition(generation))
    driver(session).execute(query)


def save_profiles(session: Session, generation: int, customers: Customers) -> None:
    """Add customers' profiles to a generation."""
    copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        partition(generation), sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    )
    with driver(session).cursor().copy(copy) as into:
        into.write(COPY_START)
        for block in _copied(generation, customers):
            into.write(block)
        into.write(COPY_END)


def _copied(generation: int, customers: Customers) -> Iterator[bytes]:
    found = customers.profiles
    for packed in pack(found):
        fixed = zip(
            packed.customers.tolist(),
            *(
                column[packed.customers].tolist()
                for column in (found.known, found.visits, found.hits, customers.segments)
            ),
            packed.item_ends.tolist(),
            packed.cell_ends.tolist(),
            strict=True,
        )
        row, item, cell = bytearray(), 0, 0
        for customer, known, visits, hits, segment, item_end, cell_end in fixed:
            name = customers.mobile_ids[customer].encode()
            sizes = (4, visits, 4, hits, 2, segment, 1, packed.wide, len(name))
            row += HEAD.pack(len(COLUMNS), 8, generation, 8, known, *sizes)
            row += name + LENGTH.pack(item_end - item) + packed.items[item:item_end]
            row += LENGTH.pack(cell_end - cell) + packed.cells[cell:cell_end]
            item, cell = item_end, cell_end
            if len(row) > 1 << 20:
                yield bytes(row)
                row.clear()
        yield bytes(row)


def load_profiles(session: Session, generation: int, mobile_ids: Sequence[str]) -> Customers:
    """These customers' profiles, without customers who have none."""
    rows = driver(session).execute(
        "SELECT mobile_id, segment, visits, known, hits, wide, items, cells FROM recommendation_profiles"
        " WHERE generation = %s AND mobile_id = ANY(%s)",
        [generation, list(mobile_ids)],
        binary=True,
    )
    found = rows.fetchall()
    return Customers(
        [row[0] for row in found],
        np.array([row[1] for row in found], dtype=np.int64),
        unpack([Packed(*row[2:]) for row in found]),
    )


def remove_profiles(session: Session, generation: int, mobile_ids: Sequence[str]) -> int:
    """Remove customers' profiles; returns how many there were."""
    query = "DELETE FROM recommendation_profiles WHERE generation = %s AND mobile_id = ANY(%s)"
    return driver(session).execute(query, [generation, list(mobile_ids)]).rowcount


def stored_segments(generation: int) -> sql.Composed:
    """A query for customers with the segment numbers that they were counted in."""
    return sql.SQL("SELECT mobile_id, segment FROM {}").format(partition(generation))


def move_customers(session: Session, generation: int, segments: Mapping[str, int]) -> None:
    """Store customers' new segments."""
    query = sql.SQL(
        "UPDATE {} AS p SET segment = moved.segment FROM unnest(%s::text[], %s::smallint[]) AS moved (id, segment)"
        " WHERE mobile_id = id"
    ).format(partition(generation))
    driver(session).execute(query, [list(segments), list(segments.values())])


def save_orders(session: Session, run: Run, part: Part, counted: Counted) -> None:
    """Store a part's orders by day bucket and daypart, replacing those of an earlier attempt."""
    session.execute(
        delete(DaypartOrders).where(DaypartOrders.generation == run.generation, DaypartOrders.part == part.part)
    )
    place = ["day_bucket", "daypart"]
    found = dict(iter(counted.orders.groupby(place)))
    session.add_all(
        DaypartOrders(
            generation=run.generation,
            daypart=daypart,
            day_bucket=date_of(day_bucket),
            part=part.part,
            transactions=transactions,
            items=found[day_bucket, daypart]["item_id"].tolist(),
            orders=found[day_bucket, daypart]["orders"].tolist(),
        )
        for day_bucket, daypart, transactions in counted.transactions[[*place, "transactions"]].to_numpy().tolist()
    )
    session.flush()


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
    connection = driver(session)
    orders = np.zeros((dayparts, len(item_ids)), dtype=np.int64)
    codes = {item: code for code, item in enumerate(item_ids.tolist())}
    for daypart, item, count in connection.execute(
        "SELECT daypart, item, sum(o)::bigint FROM recommendation_orders, unnest(items, orders) AS t (item, o)"
        " WHERE generation = %s GROUP BY 1, 2",
        [generation],
    ):
        orders[daypart, codes[item]] = count
    transactions = np.zeros(dayparts, dtype=np.int64)
    for daypart, count in connection.execute(
        "SELECT daypart, sum(transactions)::bigint FROM recommendation_orders WHERE generation = %s GROUP BY 1",
        [generation],
    ):
        transactions[daypart] = count
    return orders, transactions


def save_tallies(session: Session, generation: int, part: int, tallies: Tallies) -> None:
    """Store tallies, in slices of bounded size, replacing those of an earlier attempt."""
    session.execute(delete(StoredTallies).where(StoredTallies.generation == generation, StoredTallies.part == part))
    sums = {name: values for name, values in vars(tallies).items() if not name.startswith("pair")}
    pairs = np.empty(len(tallies.pairs), dtype=PAIR)
    pairs["first"], pairs["second"] = tallies.pairs >> 32, tallies.pairs & 0xFFFFFFFF
    pairs["customers"] = tallies.pair_customers
    slices = [pairs[first : first + SLICE].tobytes() for first in range(0, len(pairs), SLICE)]
    query = "INSERT INTO recommendation_tallies (generation, part, slice, data) VALUES (%s, %s, %s, %s)"
    for number, data in enumerate([as_bytes(**sums), *slices]):
        driver(session).execute(query, [generation, part, number, data])


def load_tallies(session: Session, generation: int, part: int) -> Tallies:
    """A part's tallies."""
    rows = driver(session).execute(
        "SELECT data FROM recommendation_tallies WHERE generation = %s AND part = %s ORDER BY slice",
        [generation, part],
        binary=True,
    )
    sums, *slices = [bytes(data) for (data,) in rows.fetchall()]
    pairs = np.concatenate([np.frombuffer(each, dtype=PAIR) for each in slices] or [np.empty(0, dtype=PAIR)])
    keys = pairs["first"].astype(np.int64) << 32 | pairs["second"].astype(np.int64)
    return Tallies(**from_bytes(sums), pairs=keys, pair_customers=pairs["customers"].astype(np.int64))


def discard_tallies(session: Session, generation: int) -> None:
    """Remove a generation's tallies."""
    session.execute(delete(StoredTallies).where(StoredTallies.generation == generation))


def start_again(session: Session, generation: int) -> None:
    """Remove everything that the parts of a run have stored."""
    driver(session).execute(sql.SQL("TRUNCATE {}").format(partition(generation)))
    _delete(session, [generation])


def discard(session: Session, generations: Sequence[int]) -> None:
    """Remove everything that generations have stored."""
    for generation in generations:
        driver(session).execute(sql.SQL("DROP TABLE IF EXISTS {}").format(partition(generation)))
    _delete(session, generations)


def _delete(session: Session, generations: Sequence[int]) -> None:
    for table in ("orders", "tallies", "outcomes", "models", "segments"):
        query = sql.SQL("DELETE FROM {} WHERE generation = ANY(%s)").format(sql.Identifier(f"recommendation_{table}"))
        driver(session).execute(query, [list(generations)])
