"""The published menu as a matrix of popularity and margin, for one daypart or all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.matrix import Sold, matrix
from errors import RequestError
from kinds.menu.rules import quantity_unit
from store.published import PublishedState

NOTES = {
    "margin": "A piece's margin is what it was sold for less its cost in dim_menu_items.",
    "price": "No item has a cost in dim_menu_items, so a piece's price stands in for its margin.",
}
_SOLD = """
SELECT item, sum(o)::bigint, sum(q)::bigint, sum(c)::bigint, menu_item_name, category, cost
FROM menu_totals AS t, unnest(items, orders, quantities, cents) AS u (item, o, q, c)
LEFT JOIN menu_items AS m ON m.generation = :generation AND item_id = item
WHERE t.generation = :generation AND daytime_id = ANY(:dayparts)
GROUP BY item, menu_item_name, category, cost
"""


@dataclass(frozen=True)
class MatrixItem:
    """An item: `kind` is star, plough-horse, puzzle or dog; None, like `share` and `margin`, if its cost is missing.

    `share` is the item's share of all pieces; `price`, `cost` and `margin` are per piece, in money with six decimals.
    """

    item_id: int
    name: str | None
    category: str | None
    orders: int
    quantity: Decimal
    revenue: Decimal
    price: Decimal
    cost: Decimal | None
    share: float | None
    margin: Decimal | None
    kind: str | None


@dataclass(frozen=True)
class MenuMatrix:
    """Items, the most popular first, and the thresholds of share and margin."""

    by: Literal["margin", "price"]
    note: str
    popular_share: float
    average_margin: Decimal
    without_cost: int
    items: list[MatrixItem]


def menu_matrix(session: Session, state: PublishedState, dayparts: Sequence[int]) -> MenuMatrix:
    """The matrix for these dayparts together.

    Raises
    ------
    RequestError
        When the published run is an older version's, which stored no costs.
    """
    if not (state.run.plan or {}).get("by_weekday"):
        raise RequestError("Costs are kept from the next full run on.", code="no_results")
    unit = quantity_unit(state.run.plan or {})
    rows = session.execute(text(_SOLD), {"generation": state.generation, "dayparts": list(dayparts)}).all()
    named = {row[0]: (row[4], row[5]) for row in rows}
    found = matrix([Sold(item, o, Fraction(q, unit), c, cost) for item, o, q, c, _, _, cost in rows])
    items = []
    for placed in found.items:
        sold, (name, category) = placed.sold, named[placed.sold.item_id]
        items.append(
            MatrixItem(
                item_id=sold.item_id,
                name=name,
                category=category,
                orders=sold.orders,
                quantity=_decimal(sold.pieces, 3),
                revenue=_decimal(Fraction(sold.cents, 100), 2),
                price=_decimal(sold.cents / sold.pieces / 100, 6) if sold.pieces else Decimal(0),
                cost=sold.cost,
                share=None if placed.share is None else float(placed.share),
                margin=None if placed.margin is None else _decimal(placed.margin / 100, 6),
                kind=placed.kind,
            )
        )
    return MenuMatrix(
        by=found.by,
        note=NOTES[found.by],
        popular_share=float(found.popular_share),
        average_margin=_decimal(found.average_margin / 100, 6),
        without_cost=sum(item.kind is None for item in items),
        items=items,
    )


def _decimal(value: Fraction, places: int) -> Decimal:
    """Rounded half away from zero, as money is."""
    # In whole numbers, which takes a fifth of the time of Fraction's operators.
    scaled = (2 * abs(value.numerator) * 10**places + value.denominator) // (2 * value.denominator)
    return Decimal(scaled if value >= 0 else -scaled).scaleb(-places)
