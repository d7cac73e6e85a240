"""The CRM's menu: names, categories, prices and costs of items, and the excluded items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from psycopg import sql

from source import reading


class MenuItem(NamedTuple):
    """A row of `dim_menu_items`; price and cost per piece, None if not known."""

    name: str | None
    category: str | None
    price: Decimal | None
    cost: Decimal | None


def read_menu(crm: reading.Connection, items: Sequence[int] | None = None) -> dict[int, MenuItem]:
    """These items, or all, by id; for a repeated id the row whose name sorts last.

    Raises
    ------
    SourceError
        When the table can't be read, or a column has a wrong type.
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
    """The column as exact numeric; NULL if it is not finite, or the table has no such numeric column."""
    kind = types.get(column, "")
    if not reading.is_amount(kind):
        return sql.SQL("NULL::numeric")
    name = sql.Identifier(column)
    return sql.SQL("CASE WHEN {} THEN {} END").format(reading.finite(name, kind), reading.exact(name, kind))


def excluded_items(menu: Mapping[int, MenuItem], excluded: Sequence[int | str]) -> list[int]:
    """The sorted ids of `MENU_EXCLUDE`: its ids, and the items of its categories, compared without case."""
    categories = {name.casefold() for name in excluded if isinstance(name, str)}
    of_categories = {item for item, row in menu.items() if row.category and row.category.casefold() in categories}
    return sorted(of_categories | {item for item in excluded if isinstance(item, int)})
