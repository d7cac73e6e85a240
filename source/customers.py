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
from source.window import EPOCH, Plan, business_date, in_window, key_range, local_time, since_day

Whole = NDArray[np.int64]
FIRST_DATE = (date.min - EPOCH).days  # earlier ones are placeholders, and Python has no date for them


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


def visits(crm: reading.Connection, plan: Plan, part: KeyRange, since: date | None = None) -> Visits:
    """All transactions of the part's customers, in the run's window; those that can't be used are left out.

    With `since`, only customers with a transaction on that business day or later; some others may be among them.
    """
    kind, amount = plan["columns"]["fact_transactions"]["total_amount"], sql.Identifier("total_amount")
    # The inner ORDER BY matches the index, so that all rows are grouped without a sort; OFFSET 0 keeps it. Rows of some
    # customers are found customer by customer, and are grouped by their hashes.
    query = sql.SQL(
        "SELECT string_agg(int8send(number), ''), string_agg(days, ''), string_agg(cents, '') FROM"
        " (SELECT count(*) AS number, string_agg(date_send(day), '') AS days, string_agg(int8send(cents), '') AS cents"
        "  FROM (SELECT mobile_id, {day} AS day, {cents} AS cents FROM fact_transactions"
        "   WHERE {mine} AND mobile_id <> '' AND {window} AND isfinite(created_at) AND {finite} AND {recent}"
        "   {order} OFFSET 0) AS orders"
        "  GROUP BY mobile_id) AS customers"
    ).format(
        day=business_date(local_time(sql.Identifier("created_at")), plan),
        cents=reading.cents(amount, kind),
        mine=key_range(sql.Identifier("mobile_id"), part, "text"),
        window=in_window(plan),
        finite=reading.finite(amount, kind),
        recent=sql.SQL("true") if since is None else _with_transactions(plan, since),
        order=sql.SQL("ORDER BY mobile_id" if since is None else ""),
    )
    row = crm.execute(query, binary=True).fetchone()
    assert row is not None
    number, days, cents = (
        np.frombuffer(value or b"", dtype=kind).astype(np.int64)
        for value, kind in zip(row, (">i8", ">i4", ">i8"), strict=True)
    )
    opens = np.zeros(len(days), dtype=bool)
    opens[np.cumsum(number) - number] = True
    return Visits(opens, np.maximum(days, FIRST_DATE), cents)


def _with_transactions(plan: Plan, since: date) -> sql.Composable:
    return sql.SQL("mobile_id IN (SELECT mobile_id FROM fact_transactions WHERE {})").format(since_day(plan, since))


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
