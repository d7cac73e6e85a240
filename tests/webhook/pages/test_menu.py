"""The Menu page: the daypart of the restaurant's clock, the API's numbers, and what gaps and empty dayparts say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
import time_machine

from tests.builders import items, transactions
from tests.system import fill, run_inline
from tests.webhook.pages.conftest import OWNER, Visitor

Visit = Callable[..., Visitor]
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
DAYPARTS = pd.DataFrame(
    [(1, "Lunch", "11:00", "14:29"), (2, "Night", "22:00", "01:59"), (3, "Tea", "15:00", "16:59")],
    columns=["daytime_id", "daytime_label", "start_time", "end_time"],
)


@pytest.fixture
def owner(visit: Visit) -> Visitor:
    visitor = visit(KINDS="menu")
    sold = [(number, None, "9.00", NOON + timedelta(hours=11 * (number % 3 == 0))) for number in range(1, 61)]
    lines = [(row[0], 1 + row[0] % 4 % 3, 1 + row[0] % 2, "3.00") for row in sold]
    menu = pd.DataFrame(
        {"item_id": [1, 2], "menu_item_name": ["Soup", "Tart"], "price": ["3", "3"], "category": ["Hot", None]}
    )
    tables = {"fact_transactions": transactions(sold), "fact_transaction_items": items(lines)}
    fill(visitor.settings.database_url, tables | {"dim_menu_items": menu.astype(object), "dim_menu_daytimes": DAYPARTS})
    run_inline(visitor.settings, "menu", at=NOON + timedelta(days=1))
    return visitor.login()


def ranked(owner: Visitor, path: str) -> list[list[str]]:
    """Rank, name, category, orders and quantity of the rows that the page shows."""
    return [row[:5] for row in owner.get(path).rows if len(row) == 8 and row[0].isdigit()]


def expected(owner: Visitor, query: str) -> list[list[str]]:
    answer: Any = owner.client.get(
        f"/menu_recommendations?{query}", headers={"Authorization": f"Bearer {OWNER}"}
    ).get_json()
    return [
        [
            str(item["rank"]),
            item["menu_item_name"] or f"Item {item['menu_item_id']}",
            item["category"] or "–",
            str(item["orders"]),
            str(item["quantity"]),
        ]
        for item in answer["items"]
    ]


def test_a_dayparts_ranking_is_the_apis(owner: Visitor) -> None:
    for query in ("daytime_id=1", "daytime_id=2", "at=12:00", "at=00:30", "daytime_id=1&day=1"):
        shown = ranked(owner, f"/menu?{query}")
        assert shown == expected(owner, query) and len(shown) == 3


def test_the_current_daypart_is_that_of_the_restaurants_clock(owner: Visitor) -> None:
    for hour, label in ((12, "Lunch"), (23, "Night")):
        with time_machine.travel(datetime(2026, 3, 3, hour, 15, tzinfo=UTC), tick=False):
            owner.login()
            page = owner.get("/menu")
            assert f"{label} {'11:00' if hour == 12 else '22:00'}" in " ".join(page.text.split())
            assert ranked(owner, "/menu") == expected(owner, f"at={hour}:15")


def test_gaps_and_dayparts_without_orders_say_so(owner: Visitor) -> None:
    assert "No daypart covers this time of day." in owner.get("/menu?at=18:00").text
    assert "Nothing was sold in this daypart." in owner.get("/menu?daytime_id=3").text
    owner.get("/menu?daytime_id=9", 404)
    owner.get("/menu?daytime_id=1&at=now", 422)


def test_all_dayparts_stand_side_by_side(owner: Visitor) -> None:
    page = owner.get("/menu")
    first = expected(owner, "daytime_id=1")
    assert [cell.split(" ")[0] for cell in page.row("Lunch 11:00–14:29")[1:4]] == [
        row[1].split(" ")[0] for row in first
    ]
    assert page.row("Tea 15:00–16:59")[1:] == ["–"] * 5


def test_before_the_first_run_the_page_says_what_to_do(visit: Visit) -> None:
    assert "No menu ranking is published yet." in visit(KINDS="menu").login().get("/menu").text
