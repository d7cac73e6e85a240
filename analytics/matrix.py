"""The menu matrix: each item's popularity and margin per piece.

Kasavana, M. L. and Smith, D. I. (1982), Menu Engineering: an item is popular if its share of all pieces sold is at
least 70 % of an equal share (1 ÷ items); it earns well if its margin per piece is at least the average piece's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

POPULAR = Fraction(7, 10)
# By whether it is popular, and whether it earns well.
CLASSES = {(True, True): "star", (True, False): "plough-horse", (False, True): "puzzle", (False, False): "dog"}


@dataclass(frozen=True)
class Sold:
    """An item's sales: pieces, their amounts in cents, and the cost per piece in money, if known."""

    item_id: int
    orders: int
    pieces: Fraction
    cents: int
    cost: Decimal | None


@dataclass(frozen=True)
class Placed:
    """An item in the matrix: its share of the pieces, and its margin per piece in cents (None: no cost is known)."""

    sold: Sold
    share: Fraction | None = None
    margin: Fraction | None = None
    kind: str | None = None  # one of CLASSES


@dataclass(frozen=True)
class Matrix:
    """Items, the most popular first, unclassified ones last; and the thresholds.

    `by` is `margin`, or `price` if no item has a cost: then the price is used instead of the margin.
    """

    by: Literal["margin", "price"]
    popular_share: Fraction
    average_margin: Fraction
    items: list[Placed]


def matrix(sold: Sequence[Sold]) -> Matrix:
    """Classify sold items, in exact arithmetic.

    If some items have costs, those without are not classified, and do not count for the thresholds.
    """
    by: Literal["margin", "price"] = "margin" if any(each.cost is not None for each in sold) else "price"
    known = {each.item_id: each for each in sold if each.pieces > 0 and (by == "price" or each.cost is not None)}
    pieces = sum((each.pieces for each in known.values()), Fraction(0))
    earned = {item: each.cents - 100 * Fraction(each.cost or 0) * each.pieces for item, each in known.items()}
    popular = POPULAR / len(known) if known else Fraction(0)
    average = Fraction(sum(earned.values())) / pieces if known else Fraction(0)
    placed = []
    for each in sorted(sold, key=lambda each: (each.item_id not in known, -each.pieces, each.item_id)):
        if each.item_id not in known:
            placed.append(Placed(each))
            continue
        share, margin = each.pieces / pieces, earned[each.item_id] / each.pieces
        placed.append(Placed(each, share, margin, CLASSES[share >= popular, margin >= average]))
    return Matrix(by, popular, average, placed)
