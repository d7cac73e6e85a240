"""Customers' segments as a full run found them: copied once, divided into the shards of the run, matched per shard.

A join in each shard would read all customers each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy.orm import Session

from kinds.recommendations import encoding, staging
from store.database import driver
from store.models import Run

Whole = NDArray[np.int64]

BLOCKS = 16  # a power of two


def blocks(session: Session, run: Run, query: sql.Composable) -> Iterator[Mapping[int, bytes]]:
    """Customers with their segments' numbers, by shard, in blocks of about equal size."""
    assert run.plan is not None
    columns = sql.SQL(
        "SELECT string_agg(int4send(octet_length(id)), ''), string_agg(id, ''), string_agg(int2send(segment), '')"
        " FROM (SELECT textsend(mobile_id) AS id, segment, hashtext(mobile_id) & {} AS place"
        "  FROM ({}) AS numbered (mobile_id, segment)) AS encoded GROUP BY place"
    )
    with driver(session).cursor("segments", binary=True) as cursor:
        cursor.itersize = 1
        for lengths, ids, segments in cursor.execute(columns.format(sql.Literal(BLOCKS - 1), query)):
            yield _divided(
                bytes(ids), np.frombuffer(lengths, ">i4"), np.frombuffer(segments, ">i2"), run.plan["shards"]
            )


def of_shard(session: Session, run: Run, shard: int, customers: pa.Array) -> Whole:
    """The numbers of the segments of a shard's customers, 0 for none.

    Raises
    ------
    RowsLostError
        When the copy is missing.
    """
    assert run.counts is not None
    return _matched(staging.load_segments(session, run, shard, run.counts["segment_blocks"]), customers)


def _divided(ids: bytes, lengths: NDArray[Any], segments: NDArray[Any], shards: int) -> dict[int, bytes]:
    """Customers with the numbers of their segments, as bytes for each shard."""
    names = encoding.texts_of(ids, lengths)
    shard_of = encoding.shard(encoding.hashes(names), shards)
    order = np.argsort(shard_of.astype(np.int16), kind="stable")
    ends = np.searchsorted(shard_of[order], np.arange(shards + 1))
    return {
        number: encoding.as_bytes({"segments": segments[mine]} | encoding.texts(names.take(pa.array(mine))))
        for number, mine in enumerate(np.split(order, ends[1:-1]))
    }


def _matched(stored: Sequence[bytes], customers: pa.Array) -> Whole:
    """The segments' numbers of these customers; 0 for none."""
    blocks = [encoding.from_bytes(each) for each in stored]
    segments = np.concatenate([np.zeros(1, np.int64), *(each["segments"] for each in blocks)]).astype(np.int64)
    lengths = np.concatenate([np.zeros(0, np.int64), *(each["name_lengths"] for each in blocks)]).astype(np.int64)
    known = encoding.texts_of(b"".join(each["names"].tobytes() for each in blocks), lengths)
    place = pc.index_in(customers, value_set=known).fill_null(-1)
    found: Whole = segments[place.to_numpy() + 1]
    return found
