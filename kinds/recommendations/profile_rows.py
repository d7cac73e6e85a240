"""Customers' profiles in our tables, in a partition of `recommendation_profiles` for each generation.

The SQL is raw since these rows are only moved in bulk, in PostgreSQL's binary COPY format, which is built here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy.orm import Session

from analytics.recommendations.packing import Packed, PackedMany, pack, unpack
from analytics.recommendations.profiles import BLOCK, Profiles
from kinds.recommendations.encoding import texts, texts_until
from store.database import driver

Whole = NDArray[np.int64]

COLUMNS = ("generation", "known", "visits", "hits", "segment", "wide", "mobile_id", "items", "cells")
# The number of fields, the fixed ones with their lengths, and the length of the id.
FIXED = (("generation", ">i8"), ("known", ">i8"), ("visits", ">i4"), ("hits", ">i4"), ("segment", ">i2"), ("wide", "?"))
HEAD = np.dtype(
    [("fields", ">i2")]
    + [field for name, form in FIXED for field in ((f"{name} length", ">i4"), (name, form))]
    + [("mobile_id length", ">i4")]
)
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


def save_profiles(session: Session, generation: int, mobile_ids: pa.Array, segments: Whole, profiles: Profiles) -> None:
    """Add customers' profiles to a generation; their ids as Arrow's large_binary."""
    copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        partition(generation), sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    )
    with driver(session).cursor().copy(copy) as into:
        into.write(COPY_START)
        for first in range(0, profiles.customers, BLOCK):
            until = first + BLOCK
            these = profiles.between(first, until)
            for packed in pack(these):
                into.write(_copied(generation, mobile_ids[first:until], segments[first:until], these, packed))
        into.write(COPY_END)


def _copied(
    generation: int, mobile_ids: pa.Array, segments: Whole, profiles: Profiles, packed: PackedMany
) -> memoryview:
    """The rows in COPY's format, joined by Arrow column by column."""
    names = mobile_ids.take(pa.array(packed.customers))
    heads = np.zeros(len(names), dtype=HEAD)
    heads["fields"] = len(COLUMNS)
    columns = {
        "generation": generation,
        **{column: getattr(profiles, column)[packed.customers] for column in ("known", "visits", "hits")},
        "segment": segments[packed.customers],
        "wide": packed.wide,
    }
    for column, values in columns.items():
        heads[f"{column} length"], heads[column] = HEAD[column].itemsize, values
    heads["mobile_id length"] = pc.binary_length(names).to_numpy()
    fields = [_fixed(heads), names]
    for data, offsets in ((packed.items, packed.item_offsets), (packed.cells, packed.cell_offsets)):
        fields += [_fixed(np.diff(offsets).astype(">i4")), texts_until(data, offsets)]
    joined = pc.binary_join_element_wise(*fields, pa.scalar(b"", pa.large_binary()))
    return texts(joined)["names"].data


def _fixed(values: NDArray[Any]) -> pa.Array:
    """Each value's bytes."""
    return texts_until(values.tobytes(), np.arange(len(values) + 1) * values.itemsize)


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
