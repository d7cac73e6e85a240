"""An independent answer to both questions, in plain pandas and exact Python numbers, from the contract alone.

Written to be obviously right rather than fast; it shares no line with the code that it is held against.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

CENT = Decimal("0.01")
SEGMENTS = {
    "Champions": "555 554 545 544 455 454 445",
    "Loyal Customers": "543 444 435 355 354 345 344 335",
    "Potential Loyalists": (
        "553 552 551 542 541 533 532 531 453 452 451 442 441 433 432 431 423 353 352 351 342 341 333 323"
    ),
    "New Customers": "512 511 422 421 412 411 311",
    "Promising": "525 524 523 522 521 515 514 513 425 424 415 414 413 315 314 313",
    "Need Attention": "535 534 443 434 343 334 325 324",
    "About To Sleep": "331 321 312 221 213",
    "At Risk": "255 254 253 252 245 244 243 242 235 234 225 224 153 152 145 143 142 135 134 133 125 124",
    "Cannot Lose Them": "215 214 155 154 144 115 114 113",
    "Hibernating": "332 322 251 241 233 232 231 223 222 212 211 132 123 122",
    "Lost": "151 141 131 121 112 111",
}
DEFAULT_DAYPARTS = [
    (1, time(4, 0), time(6, 29)),
    (2, time(6, 30), time(10, 29)),
    (3, time(10, 30), time(12, 29)),
    (4, time(12, 30), time(14, 29)),
    (5, time(14, 30), time(16, 29)),
    (6, time(16, 30), time(17, 59)),
    (7, time(18, 0), time(19, 29)),
    (8, time(19, 30), time(21, 29)),
    (9, time(21, 30), time(23, 59)),
    (10, time(0, 0), time(1, 59)),
    (11, time(2, 0), time(3, 59)),
]


@dataclass(frozen=True)
class Rules:
    """What the contract lets settings say; dayparts as (daytime_id, start, end)."""

    as_of: datetime
    timezone: str = "UTC"
    business_day_start: time = time(4, 0)
    top_n: int = 10
    rfm_lookback_days: int = 0
    menu_lookback_days: int = 0
    dayparts: tuple[tuple[int, time, time], ...] = tuple(DEFAULT_DAYPARTS)

    def local(self, instant: datetime) -> datetime:
        """Wall-clock time, without a zone."""
        return instant.astimezone(ZoneInfo(self.timezone)).replace(tzinfo=None)

    def business_date(self, instant: datetime) -> date:
        """The wall clock put back by the day's start, naively."""
        start = self.business_day_start
        return (self.local(instant) - timedelta(hours=start.hour, minutes=start.minute)).date()

    def daypart(self, instant: datetime) -> int | None:
        """The daypart of an instant; an end covers its whole minute, a start after its end wraps."""
        now = self.local(instant).time()
        minute = now.replace(second=0, microsecond=0)
        for daytime_id, start, end in self.dayparts:
            after, before = now >= start, minute <= end
            if (after and before) if start <= end else (after or before):
                return daytime_id
        return None


def cents(amount: Any) -> int | None:
    """Whole cents, half away from zero on the decimal text; None for what is not a number."""
    try:
        exact = amount if isinstance(amount, Decimal) else Decimal(str(amount))
        return int(exact.quantize(CENT, ROUND_HALF_UP) * 100) if exact.is_finite() else None
    except InvalidOperation:
        return None


def instant(value: Any) -> datetime | None:
    """A time as Python's own, or None where there is none."""
    return None if value is None or value is pd.NaT or pd.isna(value) else pd.Timestamp(value).to_pydatetime()


def counted(transactions: pd.DataFrame, rules: Rules, lookback: int) -> list[tuple[Any, str | None, int, datetime]]:
    """The transactions in the window with a usable amount and time: (id, customer, cents, instant)."""
    oldest = rules.business_date(rules.as_of) - timedelta(days=lookback)
    kept = []
    for row in transactions.itertuples(index=False):
        amount, at = cents(row.total_amount), instant(row.created_at)
        if amount is None or at is None or at > rules.as_of:
            continue
        if lookback and rules.business_date(at) < oldest:
            continue
        customer = row.mobile_id if isinstance(row.mobile_id, str) and row.mobile_id else None
        kept.append((row.transaction_id, customer, amount, at))
    return kept


def cut_points(values: Iterable[int]) -> list[Fraction]:
    """The 20, 40, 60 and 80 % quantiles with linear interpolation."""
    ordered = sorted(values)
    points = []
    for k in range(1, 5):
        place = Fraction(k * (len(ordered) - 1), 5)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        points.append(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
    return points


def rfm(transactions: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """One row per customer with a purchase, in order of their ids."""
    bought: dict[str, list[datetime]] = {}
    spent: dict[str, int] = {}
    for _, customer, amount, at in counted(transactions, rules, rules.rfm_lookback_days):
        if customer is not None:
            spent[customer] = spent.get(customer, 0) + amount
            if amount >= 1:
                bought.setdefault(customer, []).append(at)
    today = rules.business_date(rules.as_of)
    rows = [
        (customer, (today - rules.business_date(max(times))).days, len(times), spent[customer])
        for customer, times in sorted(bought.items())
    ]
    r_cuts, f_cuts, m_cuts = ([] if not rows else cut_points(row[place] for row in rows) for place in (1, 2, 3))
    names = {code: name for name, codes in SEGMENTS.items() for code in codes.split()}
    scored = []
    for customer, recency, frequency, monetary in rows:
        r = 5 - bisect.bisect_left(r_cuts, recency)
        f = 1 + bisect.bisect_left(f_cuts, frequency)
        m = 1 + bisect.bisect_left(m_cuts, monetary)
        code = f"{r}{f}{m}"
        scored.append((customer, recency, frequency, Decimal(monetary) / 100, r, f, m, code, names[code]))
    columns = ["mobile_id", "recency_days", "frequency", "monetary"]
    columns += ["r_score", "f_score", "m_score", "rfm_score", "segment"]
    return pd.DataFrame(scored, columns=columns, dtype=object)


def menu(transactions: pd.DataFrame, items: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """The best items of each daypart, in order of daypart and rank."""
    daypart_of = {
        number: rules.daypart(at)
        for number, _, amount, at in counted(transactions, rules, rules.menu_lookback_days)
        if amount >= 1
    }
    orders: dict[tuple[int, int], set[Any]] = {}
    pieces: dict[tuple[int, int], int] = {}
    revenue: dict[tuple[int, int], int] = {}
    with_lines: dict[int, set[Any]] = {}
    for row in items.itertuples(index=False):
        daypart = None if pd.isna(row.transaction_id) else daypart_of.get(row.transaction_id)
        if daypart is None or pd.isna(row.quantity) or pd.isna(row.item_id) or pd.isna(row.price):
            continue
        quantity = int(row.quantity)
        price = row.price if isinstance(row.price, Decimal) else Decimal(str(row.price))
        amount = cents(price * quantity)
        if quantity <= 0 or amount is None:
            continue
        key = (daypart, int(row.item_id))
        orders.setdefault(key, set()).add(row.transaction_id)
        pieces[key] = pieces.get(key, 0) + quantity
        revenue[key] = revenue.get(key, 0) + amount
        with_lines.setdefault(daypart, set()).add(row.transaction_id)
    ranked = []
    for daypart in sorted(with_lines):
        keys = [key for key in orders if key[0] == daypart]
        keys.sort(key=lambda key: (-len(orders[key]), -pieces[key], -revenue[key], key[1]))
        for rank, key in enumerate(keys[: rules.top_n], 1):
            share = len(orders[key]) / len(with_lines[daypart])
            ranked.append((daypart, key[1], rank, len(orders[key]), pieces[key], share))
    columns = ["daytime_id", "menu_item_id", "rank", "orders", "quantity", "share"]
    return pd.DataFrame(ranked, columns=columns, dtype=object)


def compare_rfm(actual: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Every row equal, or the first that differ."""
    _compare(actual, expected, [])


def compare_menu(actual: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Every row equal, the share to 1e-12, or the first that differ."""
    _compare(actual, expected, ["share"])


def _compare(actual: pd.DataFrame, expected: pd.DataFrame, close: list[str]) -> None:
    def plain(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
        exact = frame.drop(columns=close)
        return [tuple(row) for row in exact.itertuples(index=False)]

    assert list(actual.columns) == list(expected.columns)
    found, wanted = plain(actual), plain(expected)
    differing = [pair for pair in zip(found, wanted, strict=False) if pair[0] != pair[1]]
    assert not differing, f"{len(differing)} rows differ; found and expected: {differing[:5]}"
    assert len(found) == len(wanted), f"{len(found)} rows found, {len(wanted)} expected"
    for column in close:
        apart = [(a, b) for a, b in zip(actual[column], expected[column], strict=True) if abs(a - b) > 1e-12]
        assert not apart, f"{column} differs: {apart[:5]}"
