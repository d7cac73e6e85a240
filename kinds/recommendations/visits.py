"""Dividing orders by customer while they are read: each block of transactions goes to its customers' shards.

A shard is a range of the customer id's hash, so that the customers with the lowest hashes, which a backtest samples,
are in the first shards.

    blocks of transactions ─► encode, per shard ─► … ─► histories, of one shard's customers
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from analytics.calendar import Calendar
from analytics.dayparts import DAY
from analytics.ordered import differs, transactions_of
from analytics.recommendations.histories import Histories
from kinds.recommendations import encoding
from source.visits import Block
from source.window import Plan, buckets_of, day_buckets, day_start, open_buckets

Whole = NDArray[np.int64]

CLOSE = 1 << 22  # values within this range are counted in an array
GUESTS = -1  # the shard of transactions without a customer


@dataclass(frozen=True)
class Counted:
    """Orders by day bucket, daypart and item, and transactions by day bucket and daypart."""

    orders: pd.DataFrame
    transactions: pd.DataFrame


def calendar(plan: Plan) -> Calendar:
    """The plan's dayparts by index, then the time between dayparts."""
    windows = sorted(tuple(window) for daypart in plan["dayparts"] for window in daypart["windows"])
    edges = [0, *(edge for window in windows for edge in window), DAY]
    gaps = [(start, until) for start, until in zip(edges[::2], edges[1::2], strict=True) if start < until]
    places = [{"daytime_id": place, "windows": daypart["windows"]} for place, daypart in enumerate(plan["dayparts"])]
    between = {"daytime_id": len(places), "windows": gaps}
    firsts = day_buckets(plan)
    bucket_of = buckets_of(plan, np.arange(firsts[0], firsts[-1] + 1), firsts)
    return Calendar.of([*places, between], day_start(plan), firsts, bucket_of, open_buckets(plan))


def divide(block: Block, times: Calendar, shards: int) -> tuple[Counted, dict[int, bytes]]:
    """A block's orders by daypart, and its visits as bytes for each shard that has some."""
    visits, items = _lines(block)
    new = differs(visits) | differs(items)
    visits, (ids, codes) = visits[new], _coded(items[new])  # an item counts once per transaction
    cells, lines = times.cells(block.local), np.bincount(visits, minlength=len(block.ids))
    counted = _counted(cells, lines > 0, visits, ids, codes, times)
    names = encoding.texts_of(block.customers, block.lengths)
    shard_of = np.where(block.lengths > 0, encoding.shard(encoding.hashes(names), shards), GUESTS)
    visiting = np.where(lines > 0, shard_of, GUESTS - 1).astype(np.int16)
    columns = {
        "instant": block.instants,
        "id": block.ids,
        "day": (block.local - times.day_start) // DAY,
        "daypart": cells % len(times.daytime_ids),
        "lines": lines,
    }
    if (visits[1:] < visits[:-1]).any():
        in_order = np.argsort(visits, kind="stable")
        visits, codes = visits[in_order], codes[in_order]
    return counted, dict(_shards(visiting, columns, names, visiting[visits], codes, ids))


def _lines(block: Block) -> tuple[Whole, Whole]:
    """The transactions, as places in the block, and items of the lines whose transactions are in it."""
    order = np.argsort(block.ids, kind="stable")
    _, which, place = transactions_of(block.line_ids, block.ids[order])
    visits = np.append(order, -1)[place][which]
    known = visits >= 0
    return (visits, block.items) if known.all() else (visits[known], block.items[known])


def _shards(
    visiting: NDArray[np.int16],
    columns: Mapping[str, NDArray[Any]],
    names: pa.Array,
    line_shards: NDArray[np.int16],
    codes: Whole,
    ids: Whole,
) -> Iterator[tuple[int, bytes]]:
    """Each shard's visits as bytes; lines are in order of visits."""
    order, line_order = np.argsort(visiting, kind="stable"), np.argsort(line_shards, kind="stable")
    columns, names = {name: values[order] for name, values in columns.items()}, names.take(pa.array(order))
    line_shards, codes = line_shards[line_order], codes[line_order]
    found = np.unique(visiting[visiting >= GUESTS])
    of_visits, of_lines = (_edges(values, found) for values in (visiting[order], line_shards))
    for each, mine, lines in zip(found.tolist(), of_visits, of_lines, strict=True):
        these = {name: values[mine] for name, values in columns.items()} | encoding.texts(names[mine])
        yield each, encoding.as_bytes(these | {"item_ids": ids, "items": codes[lines]})


def _edges(values: NDArray[np.int16], wanted: NDArray[np.int16]) -> list[slice]:
    """Where each of the wanted values is in sorted ones."""
    edges = (np.searchsorted(values, wanted, side=side).tolist() for side in ("left", "right"))
    return [slice(*each) for each in zip(*edges, strict=True)]


def decode(stored: Sequence[bytes], item_ids: Whole) -> tuple[pa.Array, Histories]:
    """Customers' ids, as Arrow's large_binary, and their histories, from all blocks of a shard.

    `item_ids` are by code.

    Raises
    ------
    KeyError
        For an item without a code.
    """
    blocks = [_each_named(encoding.from_bytes(each)) for each in stored]
    sorter = np.argsort(item_ids, kind="stable")

    def joined(name: str) -> Whole:
        return np.concatenate([each[name] for each in blocks] or [np.empty(0, np.int64)]).astype(np.int64)

    texts = b"".join(each["names"].tobytes() for each in blocks)
    customers = encoding.texts_of(texts, joined("name_lengths")).dictionary_encode()
    codes = [_codes(each["item_ids"], item_ids, sorter)[each["items"]] for each in blocks]
    histories = Histories.of_rows(
        customers.indices.to_numpy().astype(np.int64),
        joined("instant"),
        joined("id"),
        joined("day"),
        joined("daypart"),
        joined("lines"),
        np.concatenate([*codes, np.empty(0, np.int64)]).astype(np.int64),
        len(customers.dictionary),
    )
    return customers.dictionary, histories


def _each_named(block: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A block with the customer's id of each visit; older versions stored each id once, and visits with its number."""
    if "customer" not in block:
        return block
    names = encoding.texts_of(block["names"].tobytes(), block["name_lengths"])
    return block | encoding.texts(names.take(pa.array(block["customer"])))


def items_of(stored: Sequence[bytes]) -> Whole:
    """All items of these blocks."""
    found = [encoding.from_bytes(each)["item_ids"] for each in stored]
    return np.unique(np.concatenate([*found, np.empty(0, np.int64)])).astype(np.int64)


def total(parts: Sequence[Counted]) -> Counted:
    """The sum of several blocks' orders."""
    orders = pd.concat([each.orders for each in parts])
    transactions = pd.concat([each.transactions for each in parts])
    return Counted(
        orders.groupby(["day_bucket", "daypart", "item_id"], as_index=False).sum(),
        transactions.groupby(["day_bucket", "daypart"], as_index=False).sum(),
    )


def _counted(
    cells: Whole, visiting: NDArray[np.bool_], visits: Whole, ids: Whole, codes: Whole, times: Calendar
) -> Counted:
    places, cell = _coded(cells)
    keys, orders = _counts(cell[visits] * max(len(ids), 1) + codes)
    place, code = np.divmod(keys, max(len(ids), 1))
    with_lines, transactions = _counts(cell[visiting])
    return Counted(
        pd.DataFrame(_place(places[place], times) | {"item_id": ids[code], "orders": orders}),
        pd.DataFrame(_place(places[with_lines], times) | {"transactions": transactions}),
    )


def _coded(values: Whole) -> tuple[Whole, Whole]:
    """The distinct values, sorted, and each value's index among them; without sorting if they are close together."""
    least, most = (int(values.min()), int(values.max())) if len(values) else (0, -1)
    if most - least >= CLOSE:
        return np.unique(values, return_inverse=True)
    present = np.flatnonzero(np.bincount(values - least, minlength=most - least + 1))
    place = np.zeros(most - least + 1, dtype=np.int64)
    place[present] = np.arange(len(present))
    return present + least, place[values - least]


def _counts(keys: Whole) -> tuple[Whole, Whole]:
    """The distinct keys, sorted, and the count of each."""
    if int(keys.max(initial=0)) >= CLOSE:
        return np.unique(keys, return_counts=True)
    counts = np.bincount(keys)
    present = np.flatnonzero(counts)
    return present, counts[present]


def _place(cells: Whole, times: Calendar) -> dict[str, Whole]:
    placed = times.place(cells)
    return {"day_bucket": placed["day_bucket"], "daypart": placed["daytime_id"]}


def _codes(wanted: Whole, item_ids: Whole, sorter: Whole) -> Whole:
    place = np.minimum(np.searchsorted(item_ids, wanted, sorter=sorter), max(len(item_ids) - 1, 0))
    found = sorter[place] if len(item_ids) else place
    if (not len(item_ids) and len(wanted)) or (item_ids[found] != wanted).any():
        raise KeyError("an item without a code")
    return found
