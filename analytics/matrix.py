"""The menu matrix: each item's popularity beside what a piece of it earns.

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
    """What was sold of an item: pieces, and their amounts in cents; what a piece costs, in money, if that is known."""

    item_id: int
    orders: int
    pieces: Fraction
    cents: int
    cost: Decimal | None


@dataclass(frozen=True)
class Placed:
    """An item in the matrix: its share of the pieces, and one's margin in cents; None where its cost is missing."""

    sold: Sold
    share: Fraction | None = None
    margin: Fraction | None = None
    kind: str | None = None  # one of CLASSES


@dataclass(frozen=True)
class Matrix:
    """Items, the most popular first, with those that have no place last; and what they were held against.

    `by` is `margin`, or `price` where no item has a cost: then a piece earns what it was sold for.
    """

    by: Literal["margin", "price"]
    popular_share: Fraction
    average_margin: Fraction
    items: list[Placed]


def matrix(sold: Sequence[Sold]) -> Matrix:
    """Place items of which pieces were sold, exactly.

    Where some items have costs, those without have no place, and do not count for the others.
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
