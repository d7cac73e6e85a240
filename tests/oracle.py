"""An independent implementation of both kinds, in plain Python, as expected values for tests; long, since it is a
second implementation in one piece, to be read beside the rules.

Written to be obvious, not fast. Money is whole cents, cut points are fractions, times are instants in UTC; the only
float is a share. It shares no code with the product.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd

SEGMENTS = {
    "Champions": "555 554 545 544 455 454 445",
    "Loyal Customers": "543 444 435 355 354 345 344 335",
    "Potential Loyalists": "553 552 551 542 541 533 532 531 453 452 451 442 441 433 432 431 423 353 352 351 342 341 "
    "333 323",
    "New Customers": "512 511 422 421 412 411 311",
    "Promising": "525 524 523 522 521 515 514 513 425 424 415 414 413 315 314 313",
    "Need Attention": "535 534 443 434 343 334 325 324",
    "About To Sleep": "331 321 312 221 213",
    "At Risk": "255 254 253 252 245 244 243 242 235 234 225 224 153 152 145 143 142 135 134 133 125 124",
    "Cannot Lose Them": "215 214 155 154 144 115 114 113",
    "Hibernating": "332 322 251 241 233 232 231 223 222 212 211 132 123 122",
    "Lost": "151 141 131 121 112 111",
}
SEGMENT_OF_CODE = {code: segment for segment, codes in SEGMENTS.items() for code in codes.split()}
ALL_CODES = {f"{r}{f}{m}" for r in range(1, 6) for f in range(1, 6) for m in range(1, 6)}

DEFAULT_DAYPARTS = (
    (1, "Early Breakfast", time(4, 0), time(6, 29)),
    (2, "Standard Breakfast", time(6, 30), time(10, 29)),
    (3, "Late Breakfast / Brunch", time(10, 30), time(12, 29)),
    (4, "Lunch", time(12, 30), time(14, 29)),
    (5, "Late Lunch", time(14, 30), time(16, 29)),
    (6, "Afternoon Tea / Snack", time(16, 30), time(17, 59)),
    (7, "Early Dinner", time(18, 0), time(19, 29)),
    (8, "Standard Dinner", time(19, 30), time(21, 29)),
    (9, "Late Dinner / Supper", time(21, 30), time(23, 59)),
    (10, "Midnight Snack", time(0, 0), time(1, 59)),
    (11, "Closed / No Service", time(2, 0), time(3, 59)),
)

RFM_COLUMNS = [
    "mobile_id",
    "recency_days",
    "frequency",
    "monetary",
    "r_score",
    "f_score",
    "m_score",
    "rfm_score",
    "segment",
]
MENU_COLUMNS = ["daytime_id", "menu_item_id", "rank", "orders", "quantity", "share"]

MINUTE = timedelta(minutes=1)
WHOLE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Rules:
    """The settings and tables of a run.

    Dayparts come as (daytime_id, label, start, end), or without the label, on which no number depends; they are kept
    without it. None, or none at all, means the contract's defaults. `segment_map` gives each code its segment,
    `own_cut_points` four numbers for a measure (`recency_days`, `frequency`, `monetary`) in place of quintiles.
    `costs` are what a piece of an item costs, in money; the other items have no cost.
    """

    as_of: datetime
    timezone: str = "UTC"
    business_day_start: time = time(4, 0)
    top_n: int = 10
    rfm_lookback_days: int = 0
    menu_lookback_days: int = 0
    dayparts: Sequence[tuple[Any, ...]] | None = None
    segment_map: Mapping[str, str] | None = None
    own_cut_points: Mapping[str, Sequence[Decimal]] = field(default_factory=dict)
    average: bool = False
    excluded: frozenset[str] = frozenset()
    rank_by: str = "orders"
    min_orders: int = 1
    excluded_items: frozenset[int] = frozenset()
    costs: Mapping[int, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.as_of.utcoffset() is None:
            raise ValueError("as_of needs an offset")
        parts = tuple((part[0], part[-2], part[-1]) for part in self.dayparts or DEFAULT_DAYPARTS)
        object.__setattr__(self, "dayparts", parts)
        _refuse_overlaps(parts)
        if self.segment_map is not None and set(self.segment_map) != ALL_CODES:
            raise ValueError(f"segment_map misses or invents codes: {sorted(set(self.segment_map) ^ ALL_CODES)}")

    def wall_clock(self, instant: datetime) -> datetime:
        """The wall-clock time in the restaurant's time zone, without an offset."""
        return instant.astimezone(ZoneInfo(self.timezone)).replace(tzinfo=None)

    def business_date(self, instant: datetime) -> date:
        """The date of the wall-clock time minus the business day's start."""
        return (self.wall_clock(instant) - _since_midnight(self.business_day_start)).date()

    def daypart(self, instant: datetime) -> int | None:
        """The daypart that the wall clock is in; None in a gap."""
        now = _since_midnight(self.wall_clock(instant).time())
        for daytime_id, start, end in self.dayparts or ():
            if any(since <= now < until for since, until in _windows(start, end)):
                return int(daytime_id)
        return None


@dataclass(frozen=True)
class RfmCounts:
    """The counts of an RFM run; skipped rows without a customer are counted separately."""

    customers: int
    purchases: int
    skipped: int
    skipped_guests: int


@dataclass(frozen=True)
class MenuCounts:
    """The counts of a menu run.

    `transactions` were counted, in a daypart and with a counted line or not; `transactions_in_gaps` would have been,
    and `lines_in_gaps` are their lines that would have been. `skipped_lines` and `rounded_lines`, whose quantity above
    zero has more than three decimals, belong to either kind.
    """

    transactions: int
    transactions_in_gaps: int
    lines_in_gaps: int
    lines_without_transaction: int
    skipped_transactions: int
    skipped_lines: int
    rounded_lines: int = 0


def rfm(transactions: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """One row per customer with a purchase, in order of `mobile_id`; `monetary` is a Decimal with two places."""
    customers = _customers(transactions, rules)
    cuts = _rfm_cut_points(customers, rules)
    segments = SEGMENT_OF_CODE if rules.segment_map is None else rules.segment_map
    rows = []
    for customer in customers:
        r = 5 - _strictly_below(cuts["recency_days"], customer.recency_days)
        f = 1 + _strictly_below(cuts["frequency"], customer.frequency)
        m = 1 + _strictly_below(cuts["monetary"], _scored(customer, rules))
        code = f"{r}{f}{m}"
        rows.append((*customer, r, f, m, code, segments[code]))
    return pd.DataFrame(rows, columns=RFM_COLUMNS, dtype=object)


def rfm_cut_points(transactions: pd.DataFrame, rules: Rules) -> dict[str, list[Fraction]]:
    """The four cut points of `recency_days`, `frequency` and `monetary` (in currency); empty lists of nobody."""
    return _rfm_cut_points(_customers(transactions, rules), rules)


def cut_points(values: Iterable[int | Decimal | Fraction]) -> list[Fraction]:
    """The 20, 40, 60 and 80 % quantiles with linear interpolation: n values lie at 0, 1, … n - 1."""
    ordered = sorted(Fraction(value) for value in values)
    if not ordered:
        return []
    points = []
    for percent in (20, 40, 60, 80):
        place = Fraction(percent, 100) * (len(ordered) - 1)
        left = place.numerator // place.denominator
        right = min(left + 1, len(ordered) - 1)
        points.append(ordered[left] + (place - left) * (ordered[right] - ordered[left]))
    return points


def rfm_counts(transactions: pd.DataFrame, rules: Rules) -> RfmCounts:
    """How many customers and purchases there are, and what was skipped."""
    seen, skipped = _in_window(transactions, rules, rules.rfm_lookback_days)
    known = [sale for sale in seen if sale.customer is not None and sale.customer not in rules.excluded]
    purchases = [sale for sale in known if sale.cents >= 1]
    skipped = [customer for customer in skipped if customer not in rules.excluded]
    guests = sum(customer is None for customer in skipped)
    return RfmCounts(
        customers=len({sale.customer for sale in purchases}),
        purchases=len(purchases),
        skipped=len(skipped) - guests,
        skipped_guests=guests,
    )


def menu(transactions: pd.DataFrame, items: pd.DataFrame, rules: Rules, weekdays: Iterable[int] = ()) -> pd.DataFrame:
    """The best items of each daypart, in order of `daytime_id` and `rank`; on these weekdays (1 is Monday), or all."""
    dishes, with_lines, _ = _read_menu(transactions, items, rules, frozenset(weekdays))
    rows = []
    for daytime_id in sorted(with_lines):
        found = {item_id: dish for (daypart, item_id), dish in dishes.items() if daypart == daytime_id}
        enough = [item_id for item_id, dish in found.items() if len(dish.orders) >= rules.min_orders]
        best = sorted(enough, key=lambda item_id: (*_rank_key(item_id, found[item_id], rules), item_id))
        for rank, item_id in enumerate(best[: rules.top_n], start=1):
            dish = found[item_id]
            share = len(dish.orders) / len(with_lines[daytime_id])
            rows.append((daytime_id, item_id, rank, len(dish.orders), dish.quantity, share))
    return pd.DataFrame(rows, columns=MENU_COLUMNS, dtype=object)


def _rank_key(item_id: int, dish: _Dish, rules: Rules) -> list[Any]:
    """The sort key of an item: what the menu is ranked by, and then the tie-breakers."""
    values = {"orders": -len(dish.orders), "quantity": -dish.thousandths, "revenue": -dish.revenue}
    if rules.rank_by == "margin":
        first: list[Any] = [item_id not in rules.costs, -dish.margin if item_id in rules.costs else 0]
    else:
        first = [values.pop(rules.rank_by)]
    return [*first, *values.values()]


def menu_counts(transactions: pd.DataFrame, items: pd.DataFrame, rules: Rules) -> MenuCounts:
    """How many transactions were counted, and what fell into gaps, had no transaction, or was skipped."""
    return _read_menu(transactions, items, rules)[2]


def compare_rfm(actual: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Nothing if both hold the same customers with the same values, in whatever order; columns of a run are left out.

    Raises
    ------
    AssertionError
        With the first rows that differ.
    """
    _compare(actual, expected, RFM_COLUMNS, key=["mobile_id"])


def compare_menu(actual: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Nothing if both hold the same ranks with the same values, the share to 1e-12, in whatever order.

    Raises
    ------
    AssertionError
        With the first rows that differ.
    """
    _compare(actual, expected, MENU_COLUMNS, key=["daytime_id", "rank"])


# Values: reading a cell of a source table.


def cents(amount: Any) -> int | None:
    """Whole cents of the amount's decimal text, half away from zero; None for NULL, NaN and infinity."""
    exact = _exact(amount)
    return None if exact is None else _rounded_to_cents(exact)


def line_cents(quantity: Any, price: Any) -> int | None:
    """Whole cents of a line: the exact product of both decimal texts, then rounded as above."""
    pieces, unit = _exact(quantity), _exact(price)
    return None if pieces is None or unit is None else _rounded_to_cents(Fraction(unit) * Fraction(pieces))


def thousandths(quantity: Any) -> int | None:
    """A quantity's decimal text in whole thousandths, half away from zero; None for NULL, NaN and infinity."""
    exact = _exact(quantity)
    return None if exact is None else _rounded_to_cents(Fraction(exact) * 10)


def instant(value: Any) -> datetime | None:
    """A time in UTC, so that comparing never meets a repeated hour; None for NULL and infinity."""
    if _is_null(value) or str(value).lower() in ("infinity", "-infinity", "inf", "-inf"):
        return None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ValueError(f"{value!r} is not a time with an offset")
    if isinstance(value, pd.Timestamp):
        return value.tz_convert("UTC").to_pydatetime(warn=False).astimezone(UTC)
    return value.astimezone(UTC)


def _is_null(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def _exact(value: Any) -> Decimal | None:
    if _is_null(value):
        return None
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    return number if number.is_finite() else None


def _rounded_to_cents(amount: Decimal | Fraction) -> int:
    numerator, denominator = amount.as_integer_ratio()
    size = (200 * abs(numerator) + denominator) // (2 * denominator)
    return size if numerator >= 0 else -size


def _whole(value: Any) -> int | None:
    if _is_null(value):
        return None
    if isinstance(value, float) and (value != int(value) or abs(value) > 2**53):
        raise ValueError(f"{value!r} is not a whole number that a float can hold")
    return int(value)


def _text(value: Any) -> str | None:
    if _is_null(value) or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError(f"mobile_id {value!r} is not text")
    return value


# Times: windows of a day, as time since midnight.


def _since_midnight(clock: time) -> timedelta:
    return timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second, microseconds=clock.microsecond)


def _windows(start: time, end: time) -> list[tuple[timedelta, timedelta]]:
    """Half-open parts of one day: two if the window wraps past midnight; the end's whole minute is included."""
    since, until = _since_midnight(start), _since_midnight(end.replace(second=0, microsecond=0)) + MINUTE
    if start <= end:
        return [(since, until)]
    return [(since, WHOLE_DAY), (timedelta(0), until)]


def _refuse_overlaps(parts: Sequence[tuple[Any, time, time]]) -> None:
    stretches = sorted((*window, number) for number, start, end in parts for window in _windows(start, end))
    for (_, until, one), (since, _, other) in pairwise(stretches):
        if since < until:
            raise ValueError(f"dayparts {one} and {other} overlap")


# Transactions: which of them count.


class _Sale(NamedTuple):
    transaction_id: int | None
    customer: str | None
    cents: int
    at: datetime


class _Customer(NamedTuple):
    mobile_id: str
    recency_days: int
    frequency: int
    monetary: Decimal


def _in_window(transactions: pd.DataFrame, rules: Rules, lookback: int) -> tuple[list[_Sale], list[str | None]]:
    """The usable transactions up to `as_of` and within the lookback, and the customers of the skipped ones there.

    A row with a NULL or infinite time is always skipped.
    """
    last = instant(rules.as_of)
    assert last is not None
    first_date = rules.business_date(last) - timedelta(days=lookback)
    sales, skipped = [], []
    for number, mobile_id, total_amount, created_at in _rows(
        transactions, ["transaction_id", "mobile_id", "total_amount", "created_at"]
    ):
        customer, amount, at = _text(mobile_id), cents(total_amount), instant(created_at)
        if at is not None and at > last:
            continue
        if at is not None and lookback > 0 and rules.business_date(at) < first_date:
            continue
        if at is None or amount is None:
            skipped.append(customer)
            continue
        sales.append(_Sale(_whole(number), customer, amount, at))
    return sales, skipped


def _rows(frame: pd.DataFrame, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    return zip(*(frame[column] for column in columns), strict=True)


def _customers(transactions: pd.DataFrame, rules: Rules) -> list[_Customer]:
    sales_of: dict[str, list[_Sale]] = defaultdict(list)
    for sale in _in_window(transactions, rules, rules.rfm_lookback_days)[0]:
        if sale.customer is not None and sale.customer not in rules.excluded:
            sales_of[sale.customer].append(sale)
    today = rules.business_date(rules.as_of)
    customers = []
    for mobile_id in sorted(sales_of):
        purchases = [sale for sale in sales_of[mobile_id] if sale.cents >= 1]
        if purchases:
            last_purchase = max(sale.at for sale in purchases)
            recency = (today - rules.business_date(last_purchase)).days
            monetary = Decimal(sum(sale.cents for sale in sales_of[mobile_id])).scaleb(-2)
            customers.append(_Customer(mobile_id, recency, len(purchases), monetary))
    return customers


def _rfm_cut_points(customers: Sequence[_Customer], rules: Rules) -> dict[str, list[Fraction]]:
    quintiles = {
        "recency_days": cut_points(customer.recency_days for customer in customers),
        "frequency": cut_points(customer.frequency for customer in customers),
        "monetary": cut_points(_scored(customer, rules) for customer in customers),
    }
    return quintiles | {name: [Fraction(cut) for cut in cuts] for name, cuts in rules.own_cut_points.items()}


def _scored(customer: _Customer, rules: Rules) -> Fraction:
    """What M scores: the total, or the average per purchase."""
    return Fraction(customer.monetary) / (customer.frequency if rules.average else 1)


def _strictly_below(cuts: Sequence[Fraction], value: int | Fraction) -> int:
    exact = Fraction(value)
    return sum(cut < exact for cut in cuts)


# The menu: which lines count.


class _Dish:
    """One item in one daypart."""

    def __init__(self) -> None:
        self.orders: set[int] = set()
        self.thousandths = 0
        self.revenue = 0
        self.margin = 0

    @property
    def quantity(self) -> Decimal:
        return Decimal(self.thousandths).scaleb(-3)


def _read_menu(
    transactions: pd.DataFrame, items: pd.DataFrame, rules: Rules, weekdays: frozenset[int] = frozenset()
) -> tuple[dict[tuple[int, int], _Dish], dict[int, set[int]], MenuCounts]:
    """Each daypart's items, each daypart's transactions with a counted line, and the counts."""
    sales, skipped = _in_window(transactions, rules, rules.menu_lookback_days)
    known = {_whole(number) for number in transactions["transaction_id"]} - {None}
    if len(known) != transactions["transaction_id"].notna().sum():
        raise ValueError("a transaction_id is there twice")
    daypart_of = {sale.transaction_id: rules.daypart(sale.at) for sale in sales if sale.cents >= 1}
    weekday_of = {sale.transaction_id: rules.business_date(sale.at).isoweekday() for sale in sales}
    in_gaps = sum(daypart is None for daypart in daypart_of.values())

    dishes: dict[tuple[int, int], _Dish] = defaultdict(_Dish)
    with_lines: dict[int, set[int]] = defaultdict(set)
    lines_in_gaps = lines_without_transaction = skipped_lines = rounded_lines = 0
    for transaction_id, item_id, quantity, price in _rows(items, ["transaction_id", "item_id", "quantity", "price"]):
        number, item, pieces = _whole(transaction_id), _whole(item_id), _exact(quantity)
        if number is None or number not in known:
            lines_without_transaction += 1
            continue
        if number not in daypart_of:
            continue
        revenue = line_cents(quantity, price)
        if revenue is None or item is None:
            skipped_lines += 1
            continue
        if item in rules.excluded_items:
            continue
        weight = thousandths(quantity)
        if pieces is None or weight is None or pieces <= 0:
            continue
        rounded_lines += pieces * 1000 != weight
        daypart = daypart_of[number]
        if daypart is None:
            lines_in_gaps += 1
            continue
        if weekdays and weekday_of[number] not in weekdays:
            continue
        with_lines[daypart].add(number)
        dish = dishes[daypart, item]
        dish.orders.add(number)
        dish.thousandths += weight
        dish.revenue += revenue
        # The line's margin in cents, of the quantity as it is counted.
        dish.margin += _rounded_to_cents(Fraction(revenue, 100) - Fraction(rules.costs.get(item, 0)) * weight / 1000)
    counts = MenuCounts(
        transactions=len(daypart_of) - in_gaps,
        transactions_in_gaps=in_gaps,
        lines_in_gaps=lines_in_gaps,
        lines_without_transaction=lines_without_transaction,
        skipped_transactions=len(skipped),
        skipped_lines=skipped_lines,
        rounded_lines=rounded_lines,
    )
    return dishes, with_lines, counts


# Comparing: row by row, by key.


def _compare(actual: pd.DataFrame, expected: pd.DataFrame, columns: list[str], *, key: list[str]) -> None:
    missing_columns = [column for column in columns if column not in actual.columns]
    assert not missing_columns, f"columns are missing: {missing_columns}"
    found, wanted = _by_key(actual, columns, key), _by_key(expected, columns, key)
    faults = []
    for name in [*wanted, *(name for name in found if name not in wanted)]:
        label = ", ".join(f"{column}={value!r}" for column, value in zip(key, name, strict=True))
        if name not in found:
            faults.append(f"{label}: is missing; expected {wanted[name]}")
        elif name not in wanted:
            faults.append(f"{label}: was not expected; is {found[name]}")
        elif differing := _differing(found[name], wanted[name]):
            faults.append(f"{label}: {differing}")
    head = f"{len(faults)} rows differ ({len(found)} found, {len(wanted)} expected), the first of them:"
    assert not faults, "\n  ".join([head, *faults[:10]])


def _by_key(frame: pd.DataFrame, columns: list[str], key: list[str]) -> dict[tuple[Any, ...], dict[str, Any]]:
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for values in _rows(frame, columns):
        row = {column: _plain(value) for column, value in zip(columns, values, strict=True)}
        name = tuple(row[column] for column in key)
        assert name not in rows, f"{name} is there twice"
        rows[name] = row
    return rows


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    return value.item() if hasattr(value, "item") else value


def _differing(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    return "; ".join(
        f"{column} is {found[column]!r}, expected {wanted[column]!r}"
        for column in wanted
        if not _same(column, found[column], wanted[column])
    )


def _same(column: str, found: Any, wanted: Any) -> bool:
    if _is_null(found) or _is_null(wanted):
        return _is_null(found) and _is_null(wanted)
    return bool(abs(found - wanted) <= 1e-12 if column == "share" else found == wanted)
