"""The orders for the menu, read in blocks of transactions with all their lines, as arrays.

A full run's part reads a range of transaction ids in order, by the indexes that `smartcrm doctor` recommends. An
incremental run reads the touched business days, or everything as one range. PostgreSQL returns each column of a block
as one bytea value, eight bytes per row, which takes a third of the time of rows; lines of a range have two columns
packed into one where the values fit. The SQL is raw since it is built from the source's column types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import LiteralString, NamedTuple

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from postgres import tune
from source import reading
from source.ranges import KeyRange
from source.window import Plan, in_window, key_range, local_time, on_days, touched_days, use_time_zone

BLOCK = 250_000  # at most so many lines and transactions: some 30 MB, so that the arithmetic stays in the CPU's cache

LEAST = np.iinfo(np.int64).min
LINE_COLUMNS = ("transaction_id", "item_id", "quantity", "price")
DISTANCE, ITEM, CENTS = 1 << 31, 1 << 32, 1 << 50  # limits of a packed line's transaction, item and cents

Whole = NDArray[np.int64]


class Block(NamedTuple):
    """Transactions and all their lines; an array per column, in order of transaction ids.

    `local` is the wall-clock time in microseconds since 2000-01-01; the smallest int64 for a transaction that is not
    counted, the largest for one whose amount or time is NULL, NaN or infinite. `cents` is the smallest int64 for a line
    whose quantity, price or item is NULL, NaN or infinite. `rounded` is 1 for a quantity above zero that was rounded,
    maybe to zero; None for integer quantities. Quantities are in the plan's `quantity_unit`: pieces or thousandths.
    """

    ids: Whole
    local: Whole
    line_ids: Whole
    items: Whole
    quantities: Whole
    cents: Whole
    rounded: Whole | None = None


@contextmanager
def snapshot(source_url: str, plan: Plan) -> Iterator[reading.Connection]:
    """A connection for one part: one snapshot of the source, in the plan's time zone."""
    with reading.connect(source_url, isolation="REPEATABLE READ") as crm:
        tune(crm)
        use_time_zone(crm, plan)
        yield crm


def blocks(crm: reading.Connection, plan: Plan, part: KeyRange) -> Iterator[Block]:
    """The blocks that a part counts."""
    for transactions, lines in columns(crm, plan, part, _transactions):
        yield Block(*transactions, *lines)


def columns(crm: reading.Connection, plan: Plan, part: KeyRange, wanted: Transactions) -> Iterator[Columns]:
    """The blocks that a part counts: the wanted columns of transactions, and those of their lines."""
    by_days = "since" in plan and not plan.get("recompute_all")
    yield from _of_days(crm, plan, wanted) if by_days else _of_range(crm, plan, part, wanted)


def lines_without_id(source_url: str) -> int:
    """The number of lines whose transaction_id is NULL."""
    with reading.connect(source_url) as crm:
        row = crm.execute("SELECT count(*) FROM fact_transaction_items WHERE transaction_id IS NULL").fetchone()
    assert row is not None
    return int(row[0])


def _of_range(crm: reading.Connection, plan: Plan, part: KeyRange, wanted: Transactions) -> Iterator[Columns]:
    """A range of transaction ids, in blocks of bounded size even if a table has rows without match in the other."""
    name = sql.Identifier("transaction_id")
    whole = rest = key_range(name, part, "bigint")
    first = _first_to_pack_from(crm, plan, whole)
    while True:
        packed = None if first is None else _read_packed(crm, plan, rest, first)
        first = None if packed is None else first  # if one block does not fit, others are likely not to fit either
        lines = packed or _read(crm, _lines(plan, rest), limit=BLOCK)
        end = _end(lines)
        upto = rest if end is None else sql.SQL("{} AND {} <= {}").format(rest, name, sql.Literal(end))
        transactions = _read(crm, wanted(plan, upto), limit=BLOCK)
        sooner = _end(transactions)
        if sooner is not None:
            end, kept = sooner, int(np.searchsorted(lines[0], sooner, side="right"))
            lines = [column[:kept] for column in lines]
        yield transactions, lines
        if end is None:
            return
        rest = sql.SQL("{} AND {} > {}").format(whole, name, sql.Literal(end))


def _first_to_pack_from(crm: reading.Connection, plan: Plan, which: sql.Composable) -> int | None:
    """The lowest transaction id of a range if its lines may be packed; None if they can't fit."""
    if plan["columns"]["fact_transaction_items"]["quantity"] not in reading.INTEGERS:
        return None
    query = sql.SQL("SELECT min(transaction_id), max(transaction_id) FROM fact_transaction_items WHERE {}").format(
        which
    )
    first, last = crm.execute(query).fetchone() or (None, None)
    return None if first is None or last - first >= DISTANCE else int(first)


def _read_packed(crm: reading.Connection, plan: Plan, which: sql.Composable, first: int) -> list[Whole] | None:
    """A block of lines, two columns packed into one, which takes a fifth less time; None if a value does not fit."""
    with suppress(psycopg.errors.NumericValueOutOfRange), crm.transaction():
        order, amount = _read(crm, _packed_lines(plan, which, first), limit=BLOCK)
        return _unpacked(order, amount, first)
    return None


def _of_days(crm: reading.Connection, plan: Plan, wanted: Transactions) -> Iterator[Columns]:
    """The touched business days, one by one; lines are selected by the day's transactions."""
    for day in [on_days(plan, first, until) for first, until in touched_days(plan)] or [sql.SQL("false")]:
        these = sql.SQL("transaction_id IN (SELECT transaction_id FROM fact_transactions WHERE {})").format(day)
        transactions = _read(crm, wanted(plan, sql.SQL("transaction_id IS NOT NULL AND {}").format(day)))
        yield transactions, _read(crm, _lines(plan, these))


@dataclass(frozen=True)
class Rows:
    """A selection of rows of a source table, and expressions over them, each of type bytea with eight bytes."""

    table: str
    columns: tuple[str, ...]
    which: sql.Composable
    wanted: Sequence[sql.Composable]


Transactions = Callable[[Plan, sql.Composable], Rows]
Columns = tuple[list[Whole], list[Whole]]


def _transactions(plan: Plan, which: sql.Composable) -> Rows:
    """Ids and local times; an amount counts as at least one cent if it rounds to one, so from half a cent on."""
    kind, amount = plan["columns"]["fact_transactions"]["total_amount"], sql.Identifier("total_amount")
    local = sql.SQL(
        "timestamp_send(CASE WHEN NOT ({window} IS NOT FALSE OR NOT isfinite(created_at)) THEN '-infinity'"
        " WHEN ({finite} AND isfinite(created_at)) IS NOT TRUE THEN 'infinity'"
        " WHEN {exact} >= 0.005 THEN {local} ELSE '-infinity' END)"
    ).format(
        window=in_window(plan),
        finite=reading.finite(amount, kind),
        exact=reading.exact(amount, kind),
        local=local_time(sql.Identifier("created_at")),
    )
    columns = ("transaction_id", "total_amount", "created_at")
    return Rows("fact_transactions", columns, which, (eight("transaction_id"), local))


def _lines(plan: Plan, which: sql.Composable) -> Rows:
    """Transaction ids, items, quantities and cents; for quantities of a non-integer type also whether it was rounded.

    These are in thousandths, rounded half away from zero as a cast of numeric does; 0 if not above zero.
    """
    types = plan["columns"]["fact_transaction_items"]
    amount = _line_cents(types["quantity"], types["price"], "bigint")
    cents = sql.SQL("int8send(coalesce({}, {}))").format(amount, sql.Literal(LEAST))
    columns = (eight("transaction_id"), eight("coalesce(item_id, 0)"))
    if types["quantity"] in reading.INTEGERS:
        return Rows("fact_transaction_items", LINE_COLUMNS, which, (*columns, eight("coalesce(quantity, 0)"), cents))
    quantity, unit = sql.Identifier("quantity"), sql.Literal(plan["quantity_unit"])
    exact, finite = reading.exact(quantity, types["quantity"]), reading.finite(quantity, types["quantity"])
    units = sql.SQL("int8send(CASE WHEN {finite} AND quantity > 0 THEN ({unit} * {exact})::bigint ELSE 0 END)")
    rounded = sql.SQL(
        "int8send((CASE WHEN {finite} AND quantity > 0 THEN ({unit} * {exact}) % 1 <> 0 ELSE false END)::int)"
    )
    parts = {"finite": finite, "unit": unit, "exact": exact}
    wanted = (*columns, units.format(**parts), cents, rounded.format(**parts))
    return Rows("fact_transaction_items", LINE_COLUMNS, which, wanted)


def _packed_lines(plan: Plan, which: sql.Composable, first: int) -> Rows:
    """Transaction and item as one bigint, quantity and cents as another; PostgreSQL raises an error on overflow.

    The first has 31 bits for the distance from the `first` transaction and 32 for the item, signed. The second has 14
    for the quantity, signed, and 50 for the cents, shifted to be positive. So no usable line becomes the smallest
    int64, which marks unusable lines.
    """
    types = plan["columns"]["fact_transaction_items"]
    order = sql.SQL("int8send((transaction_id - {}) * {} + coalesce(item_id, 0)::int)").format(first, ITEM)
    cents = _line_cents(types["quantity"], types["price"], "int")
    amount = sql.SQL("int8send(coalesce(quantity * {} + {} + {}, {}))").format(CENTS, cents, CENTS // 2, LEAST)
    return Rows("fact_transaction_items", LINE_COLUMNS, which, (order, amount))


def _unpacked(order: Whole, amount: Whole, first: int) -> list[Whole]:
    """Transactions, items, quantities and cents, as `_lines` has them."""
    items = order.astype(np.int32).astype(np.int64)  # the lower half, signed
    cents = np.where(amount == LEAST, LEAST, (amount & (CENTS - 1)) - CENTS // 2)
    return [first + ((order - items) >> 32), items, amount >> 50, cents]


def eight(expression: LiteralString) -> sql.Composable:
    """A whole number as the eight bytes that a wanted column has."""
    return sql.SQL("int8send(({})::bigint)").format(sql.SQL(expression))


def _line_cents(quantity_type: str, price_type: str, cast: LiteralString) -> sql.Composable:
    """A line's amount in cents, rounded half away from zero, as a cast of numeric does; NULL if unusable."""
    quantity, price = sql.Identifier("quantity"), sql.Identifier("price")
    finite = sql.SQL("{} AND {}").format(reading.finite(price, price_type), reading.finite(quantity, quantity_type))
    cents = sql.SQL("(100 * {} * {})::{}").format(
        reading.exact(quantity, quantity_type), reading.exact(price, price_type), sql.SQL(cast)
    )
    # Most prices are whole cents, where bigint arithmetic is enough. scale() is NULL for NaN and infinity.
    whole = sql.SQL("WHEN scale(price) <= 2 THEN quantity::bigint * (100 * price)::{}").format(sql.SQL(cast))
    quick = quantity_type in reading.INTEGERS and price_type.startswith("numeric")
    return sql.SQL("CASE WHEN item_id IS NULL THEN NULL {} WHEN {} THEN {} END").format(
        whole if quick else sql.SQL(""), finite, cents
    )


def _read(crm: reading.Connection, rows: Rows, *, limit: int | None = None) -> list[Whole]:
    """The wanted columns of at most `limit` rows in order of transaction ids, and further rows of the last id."""
    page = sql.SQL("ORDER BY transaction_id FETCH FIRST {} ROWS WITH TIES").format(sql.Literal(limit))
    query = sql.SQL("SELECT {columns} FROM (SELECT {raw} FROM {table} WHERE {which} {page}) AS rows").format(
        columns=sql.SQL(", ").join(sql.SQL("string_agg({}, '')").format(column) for column in rows.wanted),
        raw=sql.SQL(", ").join(map(sql.Identifier, rows.columns)),
        table=sql.Identifier(rows.table),
        which=rows.which,
        page=page if limit else sql.SQL(""),
    )
    values = crm.execute(query, binary=True).fetchone()
    assert values is not None
    return [np.frombuffer(value or b"", dtype=">i8").astype(np.int64) for value in values]


def _end(columns: list[Whole]) -> int | None:
    """The last transaction id of a full block, after which there may be more; None for a block that is not full."""
    return int(columns[0][-1]) if len(columns[0]) >= BLOCK else None
