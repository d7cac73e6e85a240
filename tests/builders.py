"""Small sets of orders for tests: from tuples, or drawn by hypothesis with the irregularities of real data; long,
since all irregularities are here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from hypothesis import strategies as st

from tests.oracle import Rules

# The instants at which each zone's clocks change; an ordinary instant for a zone without changes.
CLOCK_CHANGES = {
    "UTC": (datetime(2025, 7, 1, 4, tzinfo=UTC),),
    "Europe/London": (datetime(2025, 3, 30, 1, tzinfo=UTC), datetime(2025, 10, 26, 1, tzinfo=UTC)),
    "CET": (datetime(2025, 3, 30, 1, tzinfo=UTC), datetime(2025, 10, 26, 1, tzinfo=UTC)),
    "America/New_York": (datetime(2025, 3, 9, 7, tzinfo=UTC), datetime(2025, 11, 2, 6, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2025, 4, 5, 15, tzinfo=UTC), datetime(2025, 10, 4, 15, 30, tzinfo=UTC)),
    "Asia/Kathmandu": (datetime(2025, 7, 1, 4, tzinfo=UTC), datetime(1985, 12, 31, 18, 30, tzinfo=UTC)),
}
DAY_STARTS = (time(4, 0), time(0, 0), time(1, 30), time(2, 0), time(23, 0))
DAYPARTS = {
    "defaults": None,
    "wrapping": (
        (1, "Morning", time(6, 0), time(11, 59)),
        (2, "Day", time(12, 0), time(21, 59)),
        (7, "Night", time(22, 0), time(5, 59)),
    ),
    "with gaps": ((4, "Lunch", time(11, 0, 30), time(13, 29)), (5, "Bar", time(20, 0), time(1, 59))),
}
# Just before, on and after an edge, and just before and on the end of its minute.
BESIDE_AN_EDGE = (-1, 0, 1, 59_999_999, 60_000_000)

PURCHASES = ("10.00", "10.00", "7", "99.99", "0.01", "1.005", "2.675", "0.005", "1.115", "0.30000000000000004")
NOT_PURCHASES = ("0", "0.004", "-0.005", "-0.004", "-4.00", "-10.00", "NaN", "Infinity", "-Infinity")
PRICES = ("1.00", "1.00", "2.675", "0.005", "1.005", "0", "3.335", "-1.00", "NaN", "Infinity")
PIECES = (1, 1, 1, 2, 3, 0, -1, None)
# Thousandths, and values that are rounded to them, from just above zero.
WEIGHTS = ("0.35", "0.45", "1", "2", "0.0004", "0.0005", "1.0015", "12.3456", "0.1005", "0", "-0.2", "-0.0004", "NaN")
FEW_CUSTOMERS = ("a", "b", "c", "d", "e", "ä", "Z", " ", "+15550100")
MANY_CUSTOMERS = tuple(f"+1555{number:04}" for number in range(30))
GUESTS = (None, "")
ITEMS = (1, 2, 3, 2**62)
OWN_CUT_POINTS = (("recency_days", -1, 1), ("frequency", 0, 2), ("monetary", -5, 3))


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def transactions(*rows: Any) -> pd.DataFrame:
    """Rows of (transaction_id, mobile_id, total_amount, created_at), as arguments or as one list, unchanged."""
    columns = ["transaction_id", "mobile_id", "total_amount", "created_at"]
    return pd.DataFrame(_listed(rows), columns=columns, dtype=object)


def items(*rows: Any) -> pd.DataFrame:
    """Rows of (transaction_id, item_id, quantity, price), as arguments or as one list; `id` numbers them in order."""
    frame = pd.DataFrame(_listed(rows), columns=["transaction_id", "item_id", "quantity", "price"], dtype=object)
    frame.insert(0, "id", pd.Series(range(1, len(frame) + 1), dtype=object))
    return frame


def _listed(rows: tuple[Any, ...]) -> list[Any]:
    return list(rows[0]) if len(rows) == 1 and isinstance(rows[0], list) else list(rows)


@dataclass(frozen=True)
class Case:
    """Orders, and the rules for their computation."""

    transactions: pd.DataFrame
    items: pd.DataFrame
    rules: Rules


@st.composite
def cases(draw: st.DrawFn, weighed: bool = False) -> Case:
    """Rules, and orders around the rules' edges; `weighed` orders have quantities of a non-integer type."""
    drawn = draw(rules())
    sold, lines = draw(orders(drawn, weighed))
    return Case(sold, lines, drawn)


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    """A zone, a start of the business day, lookbacks, dayparts; `as_of` among the orders, or well after them."""
    zone = draw(st.sampled_from(sorted(CLOCK_CHANGES)))
    day_start = draw(st.sampled_from(DAY_STARTS))
    among = draw(instants(zone, CLOCK_CHANGES[zone], (day_start,))).astimezone(UTC)
    return Rules(
        as_of=among + timedelta(days=draw(st.sampled_from((4, 4, 2, 0, 31, 400)))),
        timezone=zone,
        business_day_start=day_start,
        top_n=draw(st.sampled_from((10, 1, 2))),
        rfm_lookback_days=draw(st.sampled_from((0, 0, 0, 0, 1, 3, 30))),
        menu_lookback_days=draw(st.sampled_from((0, 0, 0, 0, 1, 3, 30))),
        dayparts=DAYPARTS[draw(st.sampled_from(sorted(DAYPARTS)))],
        **draw(own_rules()),
        **draw(menu_rules()),
    )


@st.composite
def own_rules(draw: st.DrawFn, customers: Sequence[str] = FEW_CUSTOMERS) -> dict[str, Any]:
    """The optional rules of a segment map; mostly none."""
    own = {name: draw(mostly_not(cut_points(lowest, decimals))) for name, lowest, decimals in OWN_CUT_POINTS}
    return {
        "own_cut_points": {name: cuts for name, cuts in own.items() if cuts},
        "average": draw(st.sampled_from((False, False, True))),
        "excluded": draw(mostly_not(st.frozensets(st.sampled_from(customers), max_size=3))) or frozenset(),
    }


@st.composite
def menu_rules(draw: st.DrawFn, items: Sequence[int] = ITEMS) -> dict[str, Any]:
    """How the menu is ranked; mostly by orders, and all of it."""
    costs = st.dictionaries(st.sampled_from(items), st.decimals(-1, 5, places=2) | st.decimals(0, 5, places=4))
    return {
        "rank_by": draw(st.sampled_from(("orders", "orders", "quantity", "revenue", "margin", "margin"))),
        "min_orders": draw(st.sampled_from((1, 1, 1, 2, 3))),
        "excluded_items": draw(mostly_not(st.frozensets(st.sampled_from(items), max_size=2))) or frozenset(),
        "costs": draw(costs),
    }


def menu_env(rules: Rules) -> dict[str, str]:
    """The settings for these rules; half of the items are excluded by their category."""
    entries = [str(item) if item % 2 else f"category:of, {item}".replace(",", "\\,") for item in rules.excluded_items]
    return {
        "TOP_N": str(rules.top_n),
        "MENU_RANK_BY": rules.rank_by,
        "MENU_MIN_ORDERS": str(rules.min_orders),
        "MENU_EXCLUDE": ",".join(entries),
    }


def menu_items(rules: Rules, items: Sequence[int] = ITEMS) -> pd.DataFrame:
    """`dim_menu_items` with these items, each in a separate category, and their costs."""
    rows = [(item, f"Item {item}", "1", f"Of, {item}", rules.costs.get(item)) for item in items]
    return pd.DataFrame(rows, columns=["item_id", "menu_item_name", "price", "category", "cost"], dtype=object)


def cut_points(lowest: int, decimals: int) -> st.SearchStrategy[list[Decimal]]:
    """Four increasing numbers, some of them equal or close to customers' values."""
    numbers = st.decimals(lowest, 30, places=decimals) | st.integers(lowest, 12).map(Decimal)
    return st.lists(numbers, min_size=4, max_size=4, unique=True).map(sorted)


def mostly_not(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The values in one case of three, else None."""
    return st.sampled_from((True, False, False)).flatmap(lambda given: values if given else st.none())


def segment_map(rules: Rules) -> str:
    """A map file for these rules, with the built-in codes."""
    tables = {
        "cut_points": {name: f"[{', '.join(map(str, cuts))}]" for name, cuts in rules.own_cut_points.items()},
        "monetary": {"measure": '"average"'} if rules.average else {},
        "exclude": {"mobile_ids": json.dumps(sorted(rules.excluded))} if rules.excluded else {},
    }
    return "\n".join(
        "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in table.items())])
        for name, table in tables.items()
        if table
    )


@st.composite
def orders(draw: st.DrawFn, of: Rules | None = None, weighed: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Up to 60 transactions with up to 90 lines, most of them within days of `as_of`, for rules given or drawn."""
    read_by = draw(rules()) if of is None else of
    clocks = [clock for _, *ends in read_by.dayparts or () for clock in ends]
    changes = sorted(CLOCK_CHANGES[read_by.timezone], key=lambda change: abs(read_by.as_of - change))
    when = instants(read_by.timezone, (changes[0], *changes), (read_by.business_day_start, *clocks))
    customers = draw(st.sampled_from((FEW_CUSTOMERS, MANY_CUSTOMERS)))
    at_least = draw(st.sampled_from((5, 0, 20, 40)))
    sold = draw(
        st.lists(
            st.tuples(
                st.integers(-5, 200) | st.integers(2**61, 2**62),
                st.sampled_from(customers) | st.sampled_from(GUESTS),
                mostly(amounts(PURCHASES) | amounts((*PURCHASES, *NOT_PURCHASES))),
                mostly(when),
            ),
            min_size=at_least,
            unique_by=lambda row: row[0],
            max_size=60,
        )
    )
    lines = draw(
        st.lists(
            st.tuples(
                st.sampled_from(2 * [row[0] for row in sold] + [None, 77_777]),
                st.sampled_from((1, 2, 3, 2**62, 2, 1, None)),
                mostly(amounts(WEIGHTS)) if weighed else st.sampled_from(PIECES),
                mostly(amounts(PRICES)),
            ),
            min_size=at_least,
            max_size=90,
        )
    )
    return transactions(sold), items(lines)


def amounts(texts: Sequence[str]) -> st.SearchStrategy[Any]:
    """One of the amounts, as text, a Decimal, a float, or an int where it is whole."""
    return st.builds(
        lambda text, kind: kind(text), st.sampled_from(texts), st.sampled_from((str, Decimal, float, _whole))
    )


def _whole(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text


def mostly(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The values, and NULL in one case of ten."""
    return st.integers(0, 9).flatmap(lambda number: st.none() if number == 9 else values)


@st.composite
def instants(draw: st.DrawFn, zone: str, changes: Sequence[datetime], clocks: Sequence[time]) -> datetime:
    """An instant around one of the changes, or close to a wall-clock time on those days; in UTC or local time."""
    change = draw(st.sampled_from(changes))
    beside = timedelta(microseconds=draw(st.sampled_from(BESIDE_AN_EDGE)))
    if draw(st.booleans()):
        moment = change + timedelta(minutes=draw(st.integers(-180, 180)))
    else:
        day = change.astimezone(ZoneInfo(zone)).date() + timedelta(days=draw(st.integers(-3, 3)))
        clock = draw(st.sampled_from(clocks)).replace(fold=draw(st.sampled_from((0, 1))))
        moment = datetime.combine(day, clock, ZoneInfo(zone)).astimezone(UTC)
    return (moment + beside).astimezone(draw(st.sampled_from((UTC, ZoneInfo(zone)))))


def plain_orders(count: int = 6) -> dict[str, pd.DataFrame]:
    """`count` customers, each with one order of one piece of item 7 at noon."""
    return {
        "fact_transactions": pd.DataFrame(
            {
                "transaction_id": range(1, count + 1),
                "mobile_id": [f"c{number}" for number in range(1, count + 1)],
                "total_amount": [f"{10 * number}.00" for number in range(1, count + 1)],
                "created_at": [NOON] * count,
            }
        ),
        "fact_transaction_items": pd.DataFrame(
            {
                "id": range(1, count + 1),
                "transaction_id": range(1, count + 1),
                "item_id": [7] * count,
                "quantity": [1] * count,
                "price": ["10.00"] * count,
            }
        ),
        "dim_menu_items": pd.DataFrame(
            {"item_id": [7], "menu_item_name": ["Soup"], "price": ["10.00"], "category": ["Starters"]}
        ),
    }
