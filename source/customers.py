"""The orders with their amounts and customers, as arrays: in blocks with all their lines, or customer by customer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from source import reading
from source.orders import Block, Rows, columns, eight
from source.ranges import KeyRange, has_index
from source.window import EPOCH, Plan, business_date, in_window, key_range, local_time

Whole = NDArray[np.int64]


class Amounts(NamedTuple):
    """Beside a block's transactions: their amounts in cents, and 1 where the customer is known."""

    cents: Whole
    known: Whole


def blocks(crm: reading.Connection, plan: Plan, part: KeyRange) -> Iterator[tuple[Block, Amounts]]:
    """All that a part counts, as `orders.blocks`, but for transactions of whatever amount."""
    for transactions, lines in columns(crm, plan, part, _transactions):
        yield Block(*transactions[:2], *lines), Amounts(*transactions[2:])


def _transactions(plan: Plan, which: sql.Composable) -> Rows:
    kind, amount = plan["columns"]["fact_transactions"]["total_amount"], sql.Identifier("total_amount")
    finite = sql.SQL("({} AND isfinite(created_at)) IS TRUE").format(reading.finite(amount, kind))
    local = sql.SQL(
        "timestamp_send(CASE WHEN NOT ({window} IS NOT FALSE OR NOT isfinite(created_at)) THEN '-infinity'"
        " WHEN {finite} THEN {local} ELSE 'infinity' END)"
    ).format(window=in_window(plan), finite=finite, local=local_time(sql.Identifier("created_at")))
    cents = sql.SQL("int8send(CASE WHEN {} THEN {} ELSE 0 END)").format(finite, reading.cents(amount, kind))
    known = eight("(coalesce(mobile_id, '') <> '')::int")
    names = ("transaction_id", "mobile_id", "total_amount", "created_at")
    return Rows("fact_transactions", names, which, (eight("transaction_id"), local, cents, known))


class Visits(NamedTuple):
    """Known customers' transactions, customer by customer; days are business dates since 2000-01-01.

    `opens` is true for each customer's first row.
    """

    opens: NDArray[np.bool_]
    days: Whole
    cents: Whole


def visits(crm: reading.Connection, plan: Plan, part: KeyRange) -> Visits:
    """All transactions of the part's customers, in the run's window; those that can't be used are left out."""
    kind, amount = plan["columns"]["fact_transactions"]["total_amount"], sql.Identifier("total_amount")
    query = sql.SQL(
        "SELECT string_agg(int8send(opens), '') AS opens, string_agg(int8send(day), '') AS day,"
        " string_agg(int8send(cents), '') AS cents FROM"
        " (SELECT (mobile_id IS DISTINCT FROM lag(mobile_id) OVER (ORDER BY mobile_id))::int::bigint AS opens,"
        "   ({day} - {epoch})::bigint AS day, {cents} AS cents"
        "  FROM (SELECT mobile_id, created_at, total_amount FROM fact_transactions"
        "   WHERE {mine} AND mobile_id <> '' AND {window} AND isfinite(created_at) AND {finite} OFFSET 0) AS orders"
        "  ORDER BY mobile_id) AS rows"
    ).format(
        day=business_date(local_time(sql.Identifier("created_at")), plan),
        epoch=sql.Literal(EPOCH),
        cents=reading.cents(amount, kind),
        mine=key_range(sql.Identifier("mobile_id"), part, "text"),
        window=in_window(plan),
        finite=reading.finite(amount, kind),
    )
    row = crm.execute(query, binary=True).fetchone()
    assert row is not None
    opens, days, cents = (np.frombuffer(value or b"", dtype=">i8").astype(np.int64) for value in row)
    return Visits(opens.astype(bool), days, cents)


class Visit(NamedTuple):
    """A customer's business day: the sum of all its amounts, in cents."""

    day: date
    cents: int


def visits_of(crm: reading.Connection, plan: Plan, mobile_id: str) -> list[Visit] | None:
    """One customer's business days in the run's window, in order; None where no index leads to the customer."""
    if not has_index(crm, "fact_transactions", "mobile_id"):
        return None
    kind, amount = plan["columns"]["fact_transactions"]["total_amount"], sql.Identifier("total_amount")
    query = sql.SQL(
        "SELECT {day} AS day, sum({cents})::bigint FROM fact_transactions"
        " WHERE mobile_id = {id} AND {window} AND isfinite(created_at) AND {finite} GROUP BY 1 ORDER BY 1"
    ).format(
        day=business_date(local_time(sql.Identifier("created_at")), plan),
        cents=reading.cents(amount, kind),
        id=sql.Literal(mobile_id),
        window=in_window(plan),
        finite=reading.finite(amount, kind),
    )
    return [Visit(*row) for row in crm.execute(query).fetchall()]
