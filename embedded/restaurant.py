"""Generated orders of a restaurant over 18 months, from a seed, for the demo.

Customers arrive over time, order at very different rates, and some stop; dishes are ordered at certain hours; there
are weekly and yearly seasons. It contains no real data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

DAYS = 548
CUSTOMERS = 3_850  # of whom about 3,000 come at all
ORDERS = 60_000
GUESTS = 0.25
REFUNDS = 0.01

# Orders per hour of the day, from midnight, relative to one another.
HOURS = np.array([2, 1, 0, 0, 0.3, 1, 3, 7, 9, 7, 6, 8, 16, 15, 8, 5, 5, 7, 13, 17, 14, 9, 5, 3], dtype=float)
WEEKDAYS = np.array([0.8, 0.8, 0.9, 1.0, 1.35, 1.5, 1.2])
MONTHS = np.array([0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.1, 1.0, 0.95, 1.0, 1.2])

# Each category's weights in six periods of the day, which begin at 4, 11, 15, 18, 22 and 0 o'clock.
PERIOD_OF_HOUR = np.array([5] * 4 + [0] * 7 + [1] * 4 + [2] * 3 + [3] * 4 + [4] * 2)
MENU: dict[str, tuple[tuple[float, ...], tuple[tuple[str, float], ...]]] = {
    "Breakfast": (
        (12, 1.5, 0.3, 0.1, 0, 0),
        (
            ("Full English", 12.5),
            ("Eggs Benedict", 11.0),
            ("Avocado Toast", 9.5),
            ("Buttermilk Pancakes", 9.0),
            ("Granola & Yoghurt", 6.5),
            ("Porridge with Honey", 5.5),
            ("Bacon Roll", 5.0),
            ("Almond Croissant", 3.8),
        ),
    ),
    "Coffee & Tea": (
        (12, 4, 8, 2, 1, 0.5),
        (
            ("Flat White", 3.6),
            ("Cappuccino", 3.6),
            ("Americano", 3.1),
            ("Espresso", 2.6),
            ("Hot Chocolate", 3.9),
            ("English Breakfast Tea", 2.9),
            ("Fresh Mint Tea", 3.2),
            ("Cold Brew", 4.1),
        ),
    ),
    "Starters": (
        (0, 3, 1, 5, 2, 0.5),
        (
            ("Soup of the Day", 6.5),
            ("Bruschetta", 6.9),
            ("Calamari", 8.9),
            ("Burrata", 9.8),
            ("Chicken Wings", 8.2),
            ("Hummus & Flatbread", 6.8),
        ),
    ),
    "Mains": (
        (0, 6, 1.5, 9, 3, 0.5),
        (
            ("Fish & Chips", 15.9),
            ("Ribeye Steak", 27.5),
            ("Roast Chicken", 16.5),
            ("Sea Bass", 21.0),
            ("Lamb Shank", 22.5),
            ("Mushroom Risotto", 14.9),
            ("Beef Burger", 14.5),
            ("Thai Green Curry", 14.2),
            ("Falafel Bowl", 12.9),
        ),
    ),
    "Pizza & Pasta": (
        (0, 6, 2, 8, 5, 4),
        (
            ("Margherita", 10.9),
            ("Pepperoni", 12.9),
            ("Quattro Formaggi", 13.5),
            ("Carbonara", 13.2),
            ("Lasagne", 13.9),
            ("Penne Arrabbiata", 11.5),
            ("Gnocchi al Pesto", 12.8),
        ),
    ),
    "Sides": (
        (0.5, 4, 1.5, 5, 3, 4),
        (("Fries", 4.2), ("Garlic Bread", 4.5), ("House Salad", 5.0), ("Onion Rings", 4.8), ("Mac & Cheese", 5.9)),
    ),
    "Desserts": (
        (0.3, 2, 6, 5, 3, 2),
        (
            ("Tiramisu", 7.2),
            ("Cheesecake", 6.9),
            ("Chocolate Brownie", 6.2),
            ("Carrot Cake", 5.4),
            ("Scone with Cream", 4.9),
            ("Gelato", 5.5),
        ),
    ),
    "Drinks": (
        (2, 6, 4, 10, 12, 10),
        (
            ("Still Water", 2.5),
            ("Lemonade", 3.4),
            ("Orange Juice", 3.6),
            ("Draught Lager", 5.6),
            ("House Red", 6.8),
            ("House White", 6.8),
            ("Aperol Spritz", 9.5),
        ),
    ),
    "Late Night": (
        (0, 0, 0, 0.3, 5, 14),
        (("Loaded Fries", 7.5), ("Chicken Kebab", 8.9), ("Hot Dog", 6.5), ("Toastie", 6.2)),
    ),
}


@dataclass(frozen=True)
class Restaurant:
    """The generated orders, in the columns of the source tables."""

    transactions: pd.DataFrame
    items: pd.DataFrame
    menu: pd.DataFrame


def generate(*, seed: int, until: datetime) -> Restaurant:
    """Generate orders until a time, in its time zone; the same seed and time give the same orders."""
    chance = np.random.default_rng(seed)
    menu = _menu()
    orders = _orders(chance, until)
    items = _items(chance, orders, menu)
    totals = np.zeros(len(orders), dtype=np.int64)
    np.add.at(
        totals, items["transaction_id"].to_numpy() - 1, items["quantity"] * (items["price"] * 100).round().astype(int)
    )
    orders["total_amount"] = totals / 100
    orders = pd.concat([orders, _refunds(chance, orders, until)], ignore_index=True)
    columns = ["transaction_id", "mobile_id", "total_amount", "created_at"]
    return Restaurant(orders[columns], items[["id", "transaction_id", "item_id", "quantity", "price"]], menu)


def write(restaurant: Restaurant, folder: Path) -> dict[str, Path]:
    """Write the orders as Parquet files for `load`; returns the files by source table."""
    frames = {
        "fact_transactions": restaurant.transactions,
        "fact_transaction_items": restaurant.items,
        "dim_menu_items": restaurant.menu,
    }
    files = {table: folder / f"{table}.parquet" for table in frames}
    for table, frame in frames.items():
        frame.to_parquet(files[table], index=False)
    return files


def _menu() -> pd.DataFrame:
    rows = [(name, price, category) for category, (_, dishes) in MENU.items() for name, price in dishes]
    menu = pd.DataFrame(rows, columns=["menu_item_name", "price", "category"])
    return menu.assign(item_id=range(101, 101 + len(menu)))[["item_id", "menu_item_name", "price", "category"]]


def _orders(chance: np.random.Generator, until: datetime) -> pd.DataFrame:
    """The time and customer of each order; ids rise with time."""
    first = (until - timedelta(days=DAYS)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    dates = pd.date_range(first, periods=DAYS + 1, freq="D")
    weight = WEEKDAYS[dates.day_of_week] * MONTHS[dates.month - 1] * np.linspace(0.8, 1.2, len(dates))
    day = chance.choice(len(dates), ORDERS, p=weight / weight.sum())
    hour = chance.choice(24, ORDERS, p=HOURS / HOURS.sum())
    seconds = day * 86_400 + hour * 3_600 + chance.integers(0, 3_600, ORDERS)
    local = pd.Series(first + pd.to_timedelta(np.sort(seconds), unit="s"))
    placed = local.dt.tz_localize(until.tzinfo, ambiguous=True, nonexistent="shift_forward").dt.tz_convert("UTC")
    orders = pd.DataFrame({"created_at": placed, "hour": local.dt.hour, "day": (local - pd.Timestamp(first)).dt.days})
    orders["mobile_id"] = _customers(chance, orders["day"].to_numpy())
    orders = orders[orders["created_at"] <= until].reset_index(drop=True)
    return orders.assign(transaction_id=orders.index + 1)


def _customers(chance: np.random.Generator, day: np.ndarray) -> pd.Series:
    """The customer of each order: active from an arrival to a departure, with heavy-tailed order rates."""
    arrival = np.sort(chance.uniform(-200, DAYS - 5, CUSTOMERS))
    departure = arrival + chance.exponential(330, CUSTOMERS)
    rate = chance.pareto(1.3, CUSTOMERS) + 0.12
    customer = np.full(len(day), -1)
    for today in np.unique(day):
        here = np.flatnonzero((arrival <= today) & (departure >= today))
        orders = np.flatnonzero(day == today)
        share = np.minimum(rate[here], np.quantile(rate[here], 0.995))
        customer[orders] = chance.choice(here, len(orders), p=share / share.sum())
    names = np.array([f"+1555{number:07d}" for number in chance.permutation(9_999_999)[:CUSTOMERS]], dtype=object)
    known = chance.random(len(day)) >= GUESTS
    return pd.Series(np.where(known, names[customer], None), dtype="string")


def _items(chance: np.random.Generator, orders: pd.DataFrame, menu: pd.DataFrame) -> pd.DataFrame:
    """The lines: 1 to 6 per order, chosen by the weights of the hour and each dish's popularity."""
    categories = menu["category"].to_numpy()
    popularity = chance.lognormal(0, 0.6, len(menu))
    dishes = {category: max(1, (categories == category).sum()) for category in MENU}
    lines = 1 + np.minimum(chance.poisson(1.5, len(orders)), 5)
    order = np.repeat(np.arange(len(orders)), lines)
    period = PERIOD_OF_HOUR[orders["hour"].to_numpy()][order]
    chosen = np.zeros(len(order), dtype=int)
    for each in range(6):
        weight = np.array([MENU[category][0][each] / dishes[category] for category in categories]) * popularity
        chosen[period == each] = chance.choice(len(menu), (period == each).sum(), p=weight / weight.sum())
    return pd.DataFrame(
        {
            "id": np.arange(1, len(order) + 1),
            "transaction_id": orders["transaction_id"].to_numpy()[order],
            "item_id": menu["item_id"].to_numpy()[chosen],
            "quantity": 1 + (chance.random(len(order)) < 0.15) + (chance.random(len(order)) < 0.03),
            "price": menu["price"].to_numpy()[chosen],
        }
    )


def _refunds(chance: np.random.Generator, orders: pd.DataFrame, until: datetime) -> pd.DataFrame:
    """Refunds: a part or all of an earlier order, to the customer who placed it."""
    known = orders[orders["mobile_id"].notna() & (orders["created_at"] <= until - timedelta(days=1))]
    given_back = known.sample(int(REFUNDS * len(orders)), random_state=chance).sort_values("created_at")
    part = chance.choice([0.25, 0.5, 1.0], len(given_back))
    return given_back.assign(
        transaction_id=range(len(orders) + 1, len(orders) + 1 + len(given_back)),
        total_amount=-(given_back["total_amount"] * part).round(2),
        created_at=given_back["created_at"] + pd.to_timedelta(chance.integers(600, 80_000, len(given_back)), unit="s"),
    )
