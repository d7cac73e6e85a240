"""The menu matrix, against pandas and values worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from analytics.matrix import Sold, matrix


def test_four_dishes_by_hand() -> None:
    # 100 pieces of four dishes: popular from 17.5 on. They earn 400 + 300 + 60 + 5, on average 7.65.
    found = matrix(
        [
            Sold(1, 40, Fraction(40), 60_000, Decimal("5.00")),
            Sold(2, 50, Fraction(50), 50_000, Decimal("4.00")),
            Sold(3, 6, Fraction(6), 9_000, Decimal("5.00")),
            Sold(4, 4, Fraction(4), 1_000, Decimal("1.25")),
        ]
    )
    assert (found.by, found.popular_share, found.average_margin) == ("margin", Fraction(7, 40), Fraction(76_500, 100))
    assert [(each.sold.item_id, each.margin, each.kind) for each in found.items] == [
        (2, 600, "plough-horse"),
        (1, 1000, "star"),
        (3, 1000, "puzzle"),
        (4, 125, "dog"),
    ]


def test_what_equals_its_threshold_is_above_it() -> None:
    found = matrix([Sold(1, 65, Fraction(65), 65, Decimal(0)), Sold(2, 35, Fraction(35), 35, Decimal(0))])
    assert [(each.share, each.kind) for each in found.items] == [
        (Fraction(65, 100), "star"),
        (Fraction(35, 100), "star"),
    ]


def test_without_any_cost_the_price_stands_in_and_says_so() -> None:
    found = matrix([Sold(1, 2, Fraction(2), 600, None), Sold(2, 1, Fraction(1), 900, None)])
    assert found.by == "price" and [each.margin for each in found.items] == [300, 900]


def test_items_without_a_cost_have_no_place_beside_those_that_have_one() -> None:
    found = matrix([Sold(1, 9, Fraction(9), 900, None), Sold(2, 1, Fraction(1), 500, Decimal("1.00"))])
    assert [(each.sold.item_id, each.share, each.kind) for each in found.items] == [(2, 1, "star"), (1, None, None)]


def test_nothing_sold_is_an_empty_matrix() -> None:
    assert matrix([]).items == []


SALES = st.lists(
    st.tuples(st.integers(1, 50), st.integers(-200, 5000), st.decimals(0, 20, places=3)), min_size=1, max_size=12
)


@given(SALES)
def test_any_menu_is_placed_as_pandas_places_it(sales: list[tuple[int, int, Decimal]]) -> None:
    frame = pd.DataFrame(sales, columns=["pieces", "cents", "cost"], dtype=object)
    frame["earned"] = [cents - 100 * Fraction(cost) * pieces for pieces, cents, cost in sales]
    popular = frame.pieces * len(frame) * 10 >= 7 * frame.pieces.sum()
    earns = frame.earned * frame.pieces.sum() >= frame.earned.sum() * frame.pieces
    names = {(True, True): "star", (True, False): "plough-horse", (False, True): "puzzle", (False, False): "dog"}
    expected = {item: names[pair] for item, pair in enumerate(zip(popular, earns, strict=True))}
    found = matrix([Sold(item, 1, Fraction(row[0]), row[1], row[2]) for item, row in enumerate(sales)])
    assert {each.sold.item_id: each.kind for each in found.items} == expected
    assert sum(each.share or 0 for each in found.items) == 1
