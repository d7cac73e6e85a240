"""The CRM's menu: what each item is called, sells for and costs, and which items the owner leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from psycopg import sql

from source import reading


class MenuItem(NamedTuple):
    """A row of `dim_menu_items`; price and cost of one piece, None where they are not known."""

    name: str | None
    category: str | None
    price: Decimal | None
    cost: Decimal | None


def read_menu(crm: reading.Connection, items: Sequence[int] | None = None) -> dict[int, MenuItem]:
    """These items, or all, by their ids; of an id that comes twice the row whose name comes last.

    Raises
    ------
    SourceError
        When the table can't be read as the contract says.
    """
    types = reading.column_types(crm, "dim_menu_items")
    query = sql.SQL(
        "SELECT item_id, menu_item_name, category, {price}, {cost} FROM dim_menu_items"
        " WHERE item_id IS NOT NULL AND {wanted} ORDER BY item_id, menu_item_name, category, 4, 5"
    ).format(
        price=_amount("price", types),
        cost=_amount("cost", types),
        wanted=sql.SQL("true") if items is None else sql.SQL("item_id = ANY({})").format(sql.Literal(list(items))),
    )
    return {item: MenuItem(*values) for item, *values in crm.execute(query).fetchall()}


def _amount(column: str, types: Mapping[str, str]) -> sql.Composable:
    """The column as exact numeric; NULL where it is not finite, and where the table has none that is an amount."""
    kind = types.get(column, "")
    if kind not in reading.INTEGERS | reading.FLOATS and not kind.startswith("numeric"):
        return sql.SQL("NULL::numeric")
    name = sql.Identifier(column)
    return sql.SQL("CASE WHEN {} THEN {} END").format(reading.finite(name, kind), reading.exact(name, kind))


def excluded_items(menu: Mapping[int, MenuItem], excluded: Sequence[int | str]) -> list[int]:
    """The ids that `MENU_EXCLUDE` names, rising: its ids, and the items of its categories, in any case."""
    categories = {name.casefold() for name in excluded if isinstance(name, str)}
    of_categories = {item for item, row in menu.items() if row.category and row.category.casefold() in categories}
    return sorted(of_categories | {item for item in excluded if isinstance(item, int)})
