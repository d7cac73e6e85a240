"""Half a year of a small restaurant, for tests of what is published: written out, without chance."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pandas as pd

from tests.builders import items, transactions

FIRST, DAYS = date(2025, 9, 1), 196  # a Monday, and 28 weeks
LAST = FIRST + timedelta(days=DAYS - 1)
MORNING_AFTER = datetime.combine(LAST + timedelta(days=1), time(5), UTC)
HOLIDAY = FIRST + timedelta(days=100)
OF_WEEKDAY = (6, 6, 7, 8, 10, 12, 0)  # orders; Sundays are closed


def orders_on(day: date) -> int:
    """How many orders there are."""
    return 0 if day == HOLIDAY else OF_WEEKDAY[day.weekday()]


def soups_on(day: date) -> int:
    """How many of them have soup: one in three at first, and all of them in the end."""
    share = 1 / 3 + 2 / 3 * (day - FIRST).days / DAYS
    return round(orders_on(day) * share)


def tables() -> dict[str, pd.DataFrame]:
    """Orders of 10.00 at noon, each with one tea, and with a soup where there is one; every other is a guest\'s."""
    sold, lines = [], []
    number = 0
    for day in (FIRST + timedelta(days=place) for place in range(DAYS)):
        for place in range(orders_on(day)):
            number += 1
            customer = None if place % 2 else f"c{(number // 2) % 40}"
            sold.append((number, customer, "10.00", datetime.combine(day, time(12, place), UTC)))
            lines.append((number, 1, 1, "4.00"))
            if place < soups_on(day):
                lines.append((number, 2, 1, "6.00"))
    menu = pd.DataFrame(
        [(1, "Tea", "4.00", "Drinks"), (2, "Soup", "6.00", "Starters")],
        columns=["item_id", "menu_item_name", "price", "category"],
    )
    return {
        "fact_transactions": transactions(sold),
        "fact_transaction_items": items(lines),
        "dim_menu_items": menu,
    }
