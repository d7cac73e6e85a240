"""Counted transactions with their customers, and the items of their counted lines: what recommendations are made of.

A full run's part reads a range of transaction ids, block by block; an incremental run reads what its customers ordered.
Each column of a block leaves PostgreSQL as one value, as in source/orders.py, and a line as one number where it fits.
The SQL is raw since it is built from the source's column types.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from source import reading
from source.ranges import KeyRange, has_index
from source.window import Plan, in_window, key_range, local_time, on_days, touched_days

BLOCK = 500_000  # lines, and transactions, at most
DISTANCE, ITEM = 1 << 31, 1 << 32  # what a packed line's transaction and item are below

Whole = NDArray[np.int64]


class Block(NamedTuple):
    """Counted transactions, and the items of all their counted lines.

    `instants` are in microseconds since 2000-01-01 UTC, `local` on the wall clock. A customer's id is as many bytes of
    `customers` as its length says, in UTF-8; a guest's has none. Lines come in order of their transactions and items;
    some may be of transactions that are not here.
    """

    ids: Whole
    instants: Whole
    local: Whole
    lengths: Whole
    customers: bytes
    line_ids: Whole
    items: Whole
    skipped_transactions: int
    skipped_lines: int


def of_range(crm: reading.Connection, plan: Plan, part: KeyRange) -> Iterator[Block]:
    """A range of transaction ids, in blocks that are bounded; one block at least."""
    name = sql.Identifier("transaction_id")
    whole = rest = key_range(name, part, "bigint")
    first = _first_to_pack_from(crm, whole)
    while True:
        line_ids, items, *skipped, end = _lines(crm, plan, rest, first, limit=BLOCK)
        upto = rest if end is None else sql.SQL("{} AND {} <= {}").format(rest, name, sql.Literal(end))
        *columns, skipped_transactions, sooner = _transactions(crm, plan, upto, limit=BLOCK)
        if sooner is not None:
            end, kept = sooner, int(np.searchsorted(line_ids, sooner, side="right"))
            line_ids, items, skipped = line_ids[:kept], items[:kept], [0]  # read again with the next block
        yield Block._make([*columns, line_ids, items, skipped_transactions, *skipped])
        if end is None:
            return
        rest = sql.SQL("{} AND {} > {}").format(whole, name, sql.Literal(end))


def of_customers(crm: reading.Connection, plan: Plan, customers: Sequence[str]) -> Block:
    """All that these customers ordered."""
    mine = sql.SQL("mobile_id = ANY({}::text[])").format(sql.Literal(list(customers)))
    return _of(crm, plan, mine)


def of_touched_days(crm: reading.Connection, plan: Plan) -> Iterator[Block]:
    """The touched day buckets' business days, one by one."""
    for first, until in touched_days(plan):
        yield _of(crm, plan, on_days(plan, first, until))


def _of(crm: reading.Connection, plan: Plan, which: sql.Composable) -> Block:
    *columns, skipped, _ = _transactions(crm, plan, sql.SQL("transaction_id IS NOT NULL AND {}").format(which))
    ids = columns[0]
    these = sql.SQL("{}::bigint[]").format(sql.Literal(f"{{{','.join(map(str, ids.tolist()))}}}"))
    if has_index(crm, "fact_transaction_items", "transaction_id"):
        these = sql.SQL("(SELECT {})::bigint[]").format(these)  # so that the planner does not estimate id by id
    lines = sql.SQL("transaction_id = ANY({})").format(these)
    first = int(ids.min()) if len(ids) and ids.max() - ids.min() < DISTANCE else None
    line_ids, items, skipped_lines, _ = _lines(crm, plan, lines, first)
    return Block._make([*columns, line_ids, items, skipped, skipped_lines])


def _transactions(
    crm: reading.Connection, plan: Plan, which: sql.Composable, *, limit: int | None = None
) -> tuple[Any, ...]:
    """The columns of counted transactions, how many were skipped, and the last id of a block that is full."""
    kind, amount = plan["columns"]["fact_transactions"]["total_amount"], sql.Identifier("total_amount")
    query = sql.SQL(
        "SELECT string_agg(int8send(transaction_id::bigint), '') FILTER (WHERE counts),"
        " string_agg(timestamptz_send(created_at), '') FILTER (WHERE counts),"
        " string_agg(timestamp_send({local}), '') FILTER (WHERE counts),"
        " string_agg(int4send(octet_length(customer)), '') FILTER (WHERE counts),"
        " string_agg(customer, '') FILTER (WHERE counts),"
        " count(*) FILTER (WHERE counts IS NULL), count(*), max(transaction_id)"
        " FROM (SELECT transaction_id, created_at, textsend(coalesce(mobile_id, '')) AS customer,"
        "  CASE WHEN NOT ({window} IS NOT FALSE OR NOT isfinite(created_at)) THEN false"
        "  WHEN ({finite} AND isfinite(created_at)) IS TRUE THEN {exact} >= 0.005 END AS counts"
        "  FROM (SELECT transaction_id, mobile_id, total_amount, created_at FROM fact_transactions"
        "  WHERE {which} {page}) AS rows OFFSET 0) AS found"
    )
    row = crm.execute(
        query.format(
            local=local_time(sql.Identifier("created_at")),
            window=in_window(plan),
            finite=reading.finite(amount, kind),
            exact=reading.exact(amount, kind),
            which=which,
            page=_page(limit),
        ),
        binary=True,
    ).fetchone()
    assert row is not None
    ids, instants, local, lengths, customers, skipped, count, last = row
    end = int(last) if limit and count >= limit else None
    return (*map(_numbers, (ids, instants, local)), _numbers(lengths, ">i4"), customers or b"", int(skipped), end)


def _lines(
    crm: reading.Connection, plan: Plan, which: sql.Composable, first: int | None, *, limit: int | None = None
) -> tuple[Any, ...]:
    """Transactions and items of counted lines, how many were skipped, and the last id of a block that is full."""
    types = plan["columns"]["fact_transaction_items"]
    usable = sql.SQL("(item_id IS NOT NULL AND {} AND {}) IS TRUE").format(
        reading.finite(sql.Identifier("quantity"), types["quantity"]),
        reading.finite(sql.Identifier("price"), types["price"]),
    )
    counts = sql.SQL("usable AND quantity > 0 AND item_id <> ALL({}::bigint[])").format(
        sql.Literal(plan["excluded_items"])
    )
    columns = sql.SQL("transaction_id, item_id, quantity")
    query = sql.SQL(
        "SELECT {wanted}, count(*) FILTER (WHERE NOT usable), count(*), max(transaction_id)"
        " FROM (SELECT {columns}, {usable} AS usable FROM (SELECT {columns}, price FROM fact_transaction_items"
        " WHERE {which} {page}) AS rows OFFSET 0) AS found"
    )
    packed = sql.SQL(
        "string_agg(int8send((transaction_id - {}) * {} + item_id::int), '') FILTER (WHERE {}), NULL"
    ).format(sql.Literal(first), sql.Literal(ITEM), counts)
    plain = sql.SQL(
        "string_agg(int8send(transaction_id::bigint), '') FILTER (WHERE {0}),"
        " string_agg(int8send(item_id::bigint), '') FILTER (WHERE {0})"
    ).format(counts)
    row = None
    parts = {"columns": columns, "usable": usable, "which": which, "page": _page(limit)}
    if first is not None:
        with suppress(psycopg.errors.NumericValueOutOfRange), crm.transaction():
            row = crm.execute(query.format(wanted=packed, **parts), binary=True).fetchone()
    row = row or crm.execute(query.format(wanted=plain, **parts), binary=True).fetchone()
    assert row is not None
    ids, items, skipped, count, last = row
    ids, items = _numbers(ids), _numbers(items)
    if len(items) < len(ids) and first is not None:
        items = ids.astype(np.int32).astype(np.int64)  # the lower half, with its sign
        ids = first + ((ids - items) >> 32)
    order = np.lexsort((items, ids)) if not _rises(ids, items) else slice(None)
    return ids[order], items[order], int(skipped), int(last) if limit and count >= limit else None


def _first_to_pack_from(crm: reading.Connection, which: sql.Composable) -> int | None:
    """The lowest transaction id of a range, where the range's lines may be packed; None where they never fit."""
    query = sql.SQL("SELECT min(transaction_id), max(transaction_id) FROM fact_transaction_items WHERE {}")
    first, last = crm.execute(query.format(which)).fetchone() or (None, None)
    return None if first is None or last - first >= DISTANCE else int(first)


def _page(limit: int | None) -> sql.Composable:
    if limit is None:
        return sql.SQL("")
    return sql.SQL("ORDER BY transaction_id FETCH FIRST {} ROWS WITH TIES").format(sql.Literal(limit))


def _numbers(value: bytes | None, form: str = ">i8") -> Whole:
    return np.frombuffer(value or b"", dtype=form).astype(np.int64)


def _rises(ids: Whole, items: Whole) -> bool:
    same = ids[1:] == ids[:-1]
    return bool(((ids[1:] > ids[:-1]) | (same & (items[1:] >= items[:-1]))).all())
