"""Numbers for orders and items with text ids; an id keeps its number over all loads.

They are stored in two tables beside the source tables, created when first needed: `order_numbers(order_text,
transaction_id)` and `item_numbers(item_text, item_id)`. An id that is a whole number is used unchanged, unless this
number was assigned to a text before; then it gets a new one as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from postgres import scalar
from source.loading.landing import Connection, Landing
from source.loading.report import Loaded


@dataclass(frozen=True)
class Numbering:
    """One table of numbers, and the source tables that use the numbers."""

    table: str
    text: str
    number: str
    users: tuple[str, ...]


ORDERS = Numbering("order_numbers", "order_text", "transaction_id", ("fact_transactions", "fact_transaction_items"))
ITEMS = Numbering("item_numbers", "item_text", "item_id", ("dim_menu_items", "fact_transaction_items"))


def give_numbers(connection: Connection, numbering: Numbering, landings: Sequence[Landing], loaded: Loaded) -> None:
    """Set the number of each text id; new numbers in the order of the landings and records."""
    landings = [landing for landing in landings if numbering.number in landing.columns]
    schema = scalar(
        connection,
        "SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE pg_class.oid = to_regclass(%s)",
        numbering.users[0],
    )
    table = sql.Identifier(schema, numbering.table)
    known = scalar(connection, "SELECT to_regclass(%s)", table.as_string(connection)) is not None
    if not known and not any(numbering.number in landing.texts for landing in landings):
        return
    names = {"numbers": table, "text": sql.Identifier(numbering.text), "number": sql.Identifier(numbering.number)}
    if not known:
        ddl = "CREATE TABLE {numbers} ({text} text PRIMARY KEY, {number} bigint NOT NULL UNIQUE)"
        connection.execute(sql.SQL(ddl).format(**names))
    waiting = sql.Identifier(f"{numbering.number}_text")
    new = 0
    for landing in landings:
        each = {**names, "landing": landing.table, "waiting": waiting}
        if known:
            query = (
                "UPDATE {landing} SET {waiting} = {landing}.{number}::text, {number} = NULL FROM {numbers}"
                " WHERE {landing}.{number} = {numbers}.{number} OR {landing}.{number}::text = {numbers}.{text}"
            )
            # Two statements, since OR would prevent hash joins.
            for condition in query.split(" WHERE ")[1].split(" OR "):
                connection.execute(sql.SQL(query.split(" WHERE ")[0] + " WHERE " + condition).format(**each))
        query = (
            "INSERT INTO {numbers} ({text}, {number}) SELECT {waiting}, {base} + row_number() OVER (ORDER BY first)"
            " FROM (SELECT {waiting}, min(record) AS first FROM {landing} WHERE {waiting} IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM {numbers} WHERE {text} = {waiting}) GROUP BY {waiting}) AS news"
        )
        base = sql.Literal(_highest(connection, numbering, table, landings))
        try:
            new += connection.execute(sql.SQL(query).format(**each, base=base)).rowcount
        except psycopg.errors.NumericValueOutOfRange:
            reason = f"no numbers are left for ids that are text, since {numbering.number} {base.as_string()} is in use"
            landing.refuse(None, numbering.number, reason)
        query = "UPDATE {landing} SET {number} = {numbers}.{number} FROM {numbers} WHERE {waiting} = {text}"
        connection.execute(sql.SQL(query).format(**each))
    if new:
        loaded.numbered[numbering.table] = new


def _highest(connection: Connection, numbering: Numbering, table: sql.Identifier, landings: Sequence[Landing]) -> int:
    """The highest number in use. New ones have to be above it, since incremental runs look for new orders there."""
    relations = [table, *map(sql.Identifier, numbering.users), *(landing.table for landing in landings)]
    query = sql.SQL("SELECT max({number}) FROM {relation}")
    number = sql.Identifier(numbering.number)
    found = [scalar(connection, query.format(number=number, relation=relation)) or 0 for relation in relations]
    return int(max(0, *found))
