"""Values in the source that are too large to compute with: the column, the limit, and an example transaction.

Checked for a run's rows after it has failed on them, and for all rows by `smartcrm doctor`. The messages name no
customers, since they are shown in logs and the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import psycopg
from psycopg import sql

from errors import SourceError, UnavailableError
from postgres import scalar
from source import reading
from source.window import Plan, in_window, use_time_zone

CODE = "data_out_of_range"
MONETARY = 10**12  # the limit of numeric(14,2)
QUANTITY = 10**15  # the limit of numeric(18,3)
CENTS = 2**63  # of one line, in 64 bits
SUM = 2**62  # of many lines, with room to add
EVERY_ROW = sql.SQL("true")

Types = Mapping[str, str]


def explained(source_url: str, plan: Plan | None, error: Exception) -> Exception:
    """An error that names the column, the limit and a transaction if a value is too large; else `error` itself."""
    if plan is None or "columns" not in plan:
        return error
    with suppress(psycopg.Error, SourceError, UnavailableError), reading.connect(source_url) as crm:
        columns: Mapping[str, Types] = plan["columns"]
        use_time_zone(crm, plan)
        found = (
            lines(crm, columns["fact_transaction_items"])
            if "fact_transaction_items" in columns
            else amounts(crm, columns["fact_transactions"], in_window(plan))
        )
        if found is not None:
            return SourceError(found, code=CODE)
    return error


def amounts(crm: reading.Connection, types: Types, window: sql.Composable = EVERY_ROW) -> str | None:
    """What is wrong with `fact_transactions.total_amount`, or None."""
    amount, kind = sql.Identifier("total_amount"), types["total_amount"]
    counted = sql.SQL("mobile_id <> '' AND isfinite(created_at) AND {} AND {}").format(
        reading.finite(amount, kind), window
    )
    rounded = sql.SQL("CASE WHEN {} THEN round({}, 2) END").format(
        reading.finite(amount, kind), reading.exact(amount, kind)
    )
    query = sql.SQL(
        "SELECT transaction_id FROM fact_transactions WHERE {counted} AND mobile_id ="
        " (SELECT mobile_id FROM fact_transactions WHERE {counted} GROUP BY mobile_id"
        " HAVING abs(sum({rounded})) >= {monetary} OR max(abs({rounded})) * 100 >= {cents} LIMIT 1)"
        " ORDER BY abs({rounded}) DESC, transaction_id LIMIT 1"
    ).format(counted=counted, rounded=rounded, monetary=MONETARY, cents=CENTS)
    row = crm.execute(query).fetchone()
    if row is None:
        return None
    return (
        "The source column fact_transactions.total_amount has amounts that are too large for one customer: their sum"
        f" must stay below {MONETARY:,}.00, the limit of numeric(14,2). Transaction {row[0]} is the largest of them."
    )


def lines(crm: reading.Connection, types: Types) -> str | None:
    """What is wrong with `fact_transaction_items.quantity` and `price`, or None."""
    quantity, price = (_value(column, types[column]) for column in ("quantity", "price"))
    cents = sql.SQL("abs(100 * {} * {})").format(quantity, price)
    pieces = sql.SQL("abs({})").format(quantity)
    for column, size, limit, text in (
        ("quantity", pieces, QUANTITY, f"{QUANTITY:,}, the limit of numeric(18,3)"),
        ("quantity × price", cents, CENTS, f"{CENTS // 100:,}.{CENTS % 100:02}, the limit of 64 bits of cents"),
    ):
        of_line = _first(crm, sql.SQL("{} >= {}").format(size, limit), size)
        if of_line is not None:
            return (
                f"The source column fact_transaction_items.{column} has a value that is too large: a line must stay"
                f" below {text}. Transaction {of_line} has such a line."
            )
    for column, size, limit, of, text in (
        ("quantity", pieces, QUANTITY, "GROUP BY item_id", f"of an item together must stay below {QUANTITY:,}"),
        ("quantity × price", cents, SUM, "", f"together must stay below {SUM // 100:,}.{SUM % 100:02}"),
    ):
        query = sql.SQL("SELECT max(total) >= {} FROM (SELECT sum({}) AS total FROM fact_transaction_items {}) AS sums")
        if scalar(crm, query.format(limit, size, sql.SQL(of))):
            largest = _first(crm, sql.SQL("{} > 0").format(size), size)
            return (
                f"The source column fact_transaction_items.{column} has a sum that is too large: the lines {text}."
                f" Transaction {largest} has the largest line."
            )
    return None


def _value(column: str, kind: str) -> sql.Composable:
    """The column as exact numeric; NULL if it is not finite."""
    name = sql.Identifier(column)
    return sql.SQL("CASE WHEN {} THEN {} END").format(reading.finite(name, kind), reading.exact(name, kind))


def _first(crm: reading.Connection, which: sql.Composable, size: sql.Composable) -> int | None:
    query = sql.SQL(
        "SELECT transaction_id FROM fact_transaction_items WHERE {} AND item_id IS NOT NULL"
        " ORDER BY {} DESC, transaction_id LIMIT 1"
    )
    row = crm.execute(query.format(which, size)).fetchone()
    return None if row is None else row[0]
