"""The oracle compared with values computed by hand, with pandas, and with known figures of real data; long, since each
rule has its example here.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests import builders
from tests.builders import CLOCK_CHANGES, Case, cases, items, transactions
from tests.oracle import (
    ALL_CODES,
    SEGMENT_OF_CODE,
    SEGMENTS,
    MenuCounts,
    RfmCounts,
    Rules,
    cents,
    compare_menu,
    compare_rfm,
    cut_points,
    instant,
    line_cents,
    menu,
    menu_counts,
    rfm,
    rfm_counts,
    rfm_cut_points,
)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LONDON = ZoneInfo("Europe/London")
ANY_CASE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def data(folder: str) -> Path:
    path = DATA / folder
    if not path.is_dir():
        pytest.skip(f"{path} is absent")
    return path


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# Money


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (1.005, 101),
        (2.675, 268),
        (0.005, 1),
        (0.004, 0),
        (-0.005, -1),
        (-2.675, -268),
        (-0.004, 0),
        (0.1 + 0.2, 30),
        (1e-7, 0),
        ("1.005", 101),
        ("1.00499999999999999999999999999999999999", 100),
        (Decimal("0.015"), 2),
        (Decimal("-7"), -700),
        (7, 700),
        (2**62, 2**62 * 100),
        (float("nan"), None),
        (float("-inf"), None),
        (Decimal("NaN"), None),
        ("Infinity", None),
        ("NaN", None),
        (None, None),
        (pd.NA, None),
    ],
)
def test_money_is_rounded_half_away_from_zero_on_its_decimal_text(amount: Any, expected: int | None) -> None:
    assert cents(amount) == expected


def test_a_column_of_floats_has_the_text_of_its_floats() -> None:
    assert [cents(value) for value in pd.Series([1.005, 2.675, float("nan")])] == [101, 268, None]
    assert [cents(value) for value in pd.Series([1.005, 2.675]).to_numpy()] == [101, 268]


def test_a_line_is_multiplied_before_it_is_rounded() -> None:
    assert line_cents(3, "1.005") == 302
    assert line_cents(3, 1.005) == 302  # in floats 3.0149999999999997
    assert line_cents(-1, "0.005") == -1
    assert line_cents(2.0, 1) == 200
    assert line_cents(None, "1.00") is line_cents(1, None) is line_cents(1, float("inf")) is None


def test_what_is_neither_a_number_nor_null_is_refused() -> None:
    with pytest.raises(ArithmeticError):
        cents("ten")
    with pytest.raises(ValueError, match="not a time with an offset"):
        instant(datetime(2026, 3, 2))
    with pytest.raises(ValueError, match="not text"):
        rfm(transactions((1, 4915550100, "1.00", NOON)), Rules(as_of=NOON))


# Times


@pytest.mark.parametrize(
    ("zone", "day_start", "moment", "expected"),
    [
        ("UTC", "04:00", "2026-03-02T01:30+00:00", "2026-03-01"),
        ("UTC", "04:00", "2026-03-02T03:59:59.999999+00:00", "2026-03-01"),
        ("UTC", "04:00", "2026-03-02T04:00+00:00", "2026-03-02"),
        ("UTC", "00:00", "2026-03-02T00:00+00:00", "2026-03-02"),
        ("UTC", "23:00", "2026-03-02T22:59+00:00", "2026-03-01"),
        ("Asia/Kathmandu", "04:00", "2026-03-01T22:14:59+00:00", "2026-03-01"),
        ("Asia/Kathmandu", "04:00", "2026-03-01T22:15+00:00", "2026-03-02"),
        # London, 30 March 2025: 00:59:59 is followed by 02:00. An hour of real time earlier would be the day before.
        ("Europe/London", "02:00", "2025-03-30T00:59:59+00:00", "2025-03-29"),
        ("Europe/London", "02:00", "2025-03-30T01:00+00:00", "2025-03-30"),
        # 03:59 and 04:00 of the wall clock, three hours after midnight.
        ("Europe/London", "04:00", "2025-03-30T02:59+00:00", "2025-03-29"),
        ("Europe/London", "04:00", "2025-03-30T03:00+00:00", "2025-03-30"),
        # London, 26 October 2025: 01:00 to 02:00 comes twice, so the date goes back for half an hour.
        ("Europe/London", "01:30", "2025-10-26T00:45+00:00", "2025-10-26"),
        ("Europe/London", "01:30", "2025-10-26T01:15+00:00", "2025-10-25"),
        ("Europe/London", "01:30", "2025-10-26T01:30+00:00", "2025-10-26"),
        # Lord Howe changes by half an hour.
        ("Australia/Lord_Howe", "02:00", "2025-04-05T14:59+00:00", "2025-04-05"),
        ("Australia/Lord_Howe", "01:45", "2025-04-05T14:50+00:00", "2025-04-06"),
        ("Australia/Lord_Howe", "01:45", "2025-04-05T15:10+00:00", "2025-04-05"),
    ],
)
def test_the_business_date_is_the_wall_clock_put_back(zone: str, day_start: str, moment: str, expected: str) -> None:
    rules = Rules(as_of=NOON, timezone=zone, business_day_start=time.fromisoformat(day_start))
    assert rules.business_date(at(moment)).isoformat() == expected


def test_the_last_purchase_is_the_latest_instant_even_where_the_wall_clock_went_back() -> None:
    rules = Rules(as_of=at("2025-10-27T12:00+00:00"), timezone="Europe/London", business_day_start=time(1, 30))
    first, second = datetime(2025, 10, 26, 1, 45, tzinfo=LONDON), datetime(2025, 10, 26, 1, 15, fold=1, tzinfo=LONDON)
    found = rfm(transactions((1, "a", "5", first), (2, "a", "5", second)), rules)
    assert found.recency_days.tolist() == [2]  # 00:45 UTC lies on the 26th, 01:15 UTC on the 25th


def test_as_of_in_a_repeated_hour_is_an_instant() -> None:
    rules = Rules(as_of=datetime(2025, 10, 26, 1, 15, fold=1, tzinfo=LONDON), timezone="Europe/London")
    sold = transactions(
        (1, "before", "5", datetime(2025, 10, 26, 1, 45, tzinfo=LONDON)),
        (2, "after", "5", datetime(2025, 10, 26, 1, 16, fold=1, tzinfo=LONDON)),
    )
    assert rfm(sold, rules).mobile_id.tolist() == ["before"]


def test_recency_is_below_zero_where_the_business_date_goes_back_before_as_of() -> None:
    as_of = at("2025-10-26T01:10+00:00")
    rules = Rules(as_of=as_of, timezone="Europe/London", business_day_start=time(1, 30))
    assert rfm(transactions((1, "a", "5", at("2025-10-26T00:45+00:00"))), rules).recency_days.tolist() == [-1]


def test_everything_counted_lies_at_or_before_as_of() -> None:
    late = NOON + timedelta(microseconds=1)
    sold = transactions((1, "a", "5", NOON), (2, "a", "7", late), (3, "a", "-1", late), (4, "b", "5", late))
    found = rfm(sold, Rules(as_of=NOON))
    assert found[["mobile_id", "frequency", "monetary"]].values.tolist() == [["a", 1, Decimal("5.00")]]


def test_a_daypart_holds_its_last_minute_and_may_wrap() -> None:
    rules = Rules(as_of=NOON, dayparts=builders.DAYPARTS["wrapping"])
    assert [rules.daypart(at(f"2026-03-02T{clock}+00:00")) for clock in ("11:59:59.999999", "12:00", "21:59:59")] == [
        1,
        2,
        2,
    ]
    assert [rules.daypart(at(f"2026-03-02T{clock}+00:00")) for clock in ("22:00", "00:00", "05:59:59.9", "06:00")] == [
        7,
        7,
        7,
        1,
    ]


def test_a_gap_has_no_daypart_and_seconds_of_a_start_count() -> None:
    rules = Rules(as_of=NOON, dayparts=builders.DAYPARTS["with gaps"])
    clocks = ("11:00:29.999999", "11:00:30", "13:29:59", "13:30", "19:59:59", "01:59:59", "02:00")
    assert [rules.daypart(at(f"2026-03-02T{clock}+00:00")) for clock in clocks] == [None, 4, 4, None, None, 5, None]


@pytest.mark.parametrize(
    ("clock", "expected"),
    [("03:59:59", 11), ("04:00", 1), ("06:29:59", 1), ("06:30", 2), ("23:59:59", 9), ("00:00", 10)],
)
def test_the_default_dayparts_cover_the_whole_day(clock: str, expected: int) -> None:
    for dayparts in (None, ()):
        assert Rules(as_of=NOON, dayparts=dayparts).daypart(at(f"2026-03-02T{clock}+00:00")) == expected
    minutes = [Rules(as_of=NOON).daypart(NOON + timedelta(minutes=minute)) for minute in range(24 * 60)]
    assert Counter(minutes) == {1: 150, 2: 240, 3: 120, 4: 120, 5: 120, 6: 90, 7: 90, 8: 120, 9: 150, 10: 120, 11: 120}


def test_the_daypart_is_that_of_the_local_wall_clock() -> None:
    rules = Rules(as_of=NOON, timezone="America/New_York")
    assert rules.daypart(at("2025-03-09T06:59:59+00:00")) == 10  # 01:59:59 EST
    assert rules.daypart(at("2025-03-09T07:00+00:00")) == 11  # 03:00 EDT
    assert rules.daypart(at("2025-11-02T05:59+00:00")) == rules.daypart(at("2025-11-02T06:59+00:00")) == 10


@pytest.mark.parametrize(
    "dayparts",
    [
        [(1, "A", time(6), time(12)), (2, "B", time(12), time(13))],
        [(1, "A", time(22), time(6)), (2, "B", time(6, 0, 59), time(7))],
        [(1, "A", time(6), time(23)), (2, "B", time(7), time(8))],
    ],
)
def test_overlapping_dayparts_are_refused_by_name(dayparts: list[Any]) -> None:
    with pytest.raises(ValueError, match="dayparts 1 and 2 overlap"):
        Rules(as_of=NOON, dayparts=dayparts)


@pytest.mark.parametrize(("zone", "change"), [(z, c) for z in CLOCK_CHANGES for c in CLOCK_CHANGES[z] if z != "UTC"])
def test_the_clocks_do_change_where_the_builders_say(zone: str, change: datetime) -> None:
    before, after = ((change + timedelta(seconds=s)).astimezone(ZoneInfo(zone)).utcoffset() for s in (-1, 0))
    assert (before != after) == (change.year != 2025 or zone != "Asia/Kathmandu")


# Lookback


def test_a_lookback_leaves_out_business_dates_more_than_that_many_days_ago() -> None:
    sold = transactions(
        (1, "kept", "5", at("2026-02-27T04:00+00:00")),
        (2, "gone", "5", at("2026-02-27T03:59:59+00:00")),
        (3, "refunded", "5", at("2026-03-01T12:00+00:00")),
        (4, "refunded", "-4", at("2026-02-20T12:00+00:00")),
    )
    rules = Rules(as_of=NOON, rfm_lookback_days=3, menu_lookback_days=3)
    found = rfm(sold, rules)
    assert found[["mobile_id", "recency_days", "monetary"]].values.tolist() == [
        ["kept", 3, Decimal("5.00")],
        ["refunded", 1, Decimal("5.00")],
    ]
    assert menu_counts(sold, items(), rules).transactions == 2
    assert len(rfm(sold, Rules(as_of=NOON))) == 3


# RFM


def test_five_customers_by_hand() -> None:
    day = timedelta(days=1)
    sold = transactions(
        (1, "a", "10.00", NOON),
        (2, "a", "10.00", NOON - 3 * day),
        (3, "b", "5.005", NOON - day),
        (4, "c", "40.00", NOON - 2 * day),
        (5, "c", "-15.00", NOON),
        (6, "c", "3.00", NOON - 3 * day),
        (7, "c", "2.00", NOON - 4 * day),
        (8, "d", "1.00", NOON - 10 * day),
        (9, "e", "100.00", NOON - 20 * day),
        (10, "f", "-5.00", NOON),
        (11, "f", "0.004", NOON),
        (12, None, "8.00", NOON),
        (13, "", "8.00", NOON),
        (14, "a", None, NOON),
    )
    rules = Rules(as_of=NOON)
    # recency 0 1 2 10 20: cuts 0.8 1.6 5.2 12; frequency 1 1 1 2 3: cuts 1 1 1.4 2.2;
    # monetary 1 5.01 20 30 100: cuts 4.208 14.004 24 44
    assert rfm_cut_points(sold, rules) == {
        "recency_days": [Fraction(4, 5), Fraction(8, 5), Fraction(26, 5), Fraction(12)],
        "frequency": [1, 1, Fraction(7, 5), Fraction(11, 5)],
        "monetary": [Fraction("4.208"), Fraction("14.004"), Fraction(24), Fraction(44)],
    }
    assert rfm(sold, rules).values.tolist() == [
        ["a", 0, 2, Decimal("20.00"), 5, 4, 3, "543", "Loyal Customers"],
        ["b", 1, 1, Decimal("5.01"), 4, 1, 2, "412", "New Customers"],
        ["c", 2, 3, Decimal("30.00"), 3, 5, 4, "354", "Loyal Customers"],
        ["d", 10, 1, Decimal("1.00"), 2, 1, 1, "211", "Hibernating"],
        ["e", 20, 1, Decimal("100.00"), 1, 1, 5, "115", "Cannot Lose Them"],
    ]
    assert rfm_counts(sold, rules) == RfmCounts(customers=5, purchases=8, skipped=1, skipped_guests=0)


def test_equal_customers_are_511_and_one_customer_is_too() -> None:
    for customers in (1, 2, 9):
        found = rfm(transactions([(n, f"c{n}", "10", NOON) for n in range(customers)]), Rules(as_of=NOON))
        assert found.rfm_score.tolist() == ["511"] * customers


def test_refunds_may_take_monetary_below_zero_and_alone_make_no_customer() -> None:
    sold = transactions((1, "a", "10", NOON), (2, "a", "-12", NOON), (3, "b", "-5", NOON), (4, "c", "0.004", NOON))
    found = rfm(sold, Rules(as_of=NOON))
    assert found[["mobile_id", "monetary"]].values.tolist() == [["a", Decimal("-2.00")]]
    assert str(found.monetary[0]) == "-2.00"


def test_each_amount_is_rounded_before_the_sum() -> None:
    sold = transactions((1, "a", 0.005, NOON), (2, "a", 0.005, NOON), (3, "b", 0.004, NOON), (4, "b", 0.006, NOON))
    found = rfm(sold, Rules(as_of=NOON))
    assert found[["frequency", "monetary"]].values.tolist() == [[2, Decimal("0.02")], [1, Decimal("0.01")]]


def test_rows_without_a_usable_amount_or_time_are_skipped_and_counted() -> None:
    later = NOON + timedelta(days=1)
    sold = transactions(
        (1, "a", "5", NOON),
        (2, "a", float("nan"), NOON),
        (3, "a", "5", None),
        (4, "b", Decimal("Infinity"), NOON),
        (5, None, None, NOON),
        (6, "c", "NaN", later),
        (7, "d", "5", pd.NaT),
        (8, "d", "5", "infinity"),
    )
    assert rfm(sold, Rules(as_of=NOON)).mobile_id.tolist() == ["a"]
    assert rfm_counts(sold, Rules(as_of=NOON)) == RfmCounts(customers=1, purchases=1, skipped=5, skipped_guests=1)
    assert menu_counts(sold, items(), Rules(as_of=NOON)).skipped_transactions == 6


def test_customers_are_in_order_of_their_code_points() -> None:
    sold = transactions([(n, customer, "5", NOON) for n, customer in enumerate(["é", "b", "Z", " ", "+1"])])
    assert rfm(sold, Rules(as_of=NOON)).mobile_id.tolist() == [" ", "+1", "Z", "b", "é"]


def test_every_code_has_one_segment() -> None:
    assert set(SEGMENT_OF_CODE) == ALL_CODES and len(ALL_CODES) == 125
    assert sum(len(codes.split()) for codes in SEGMENTS.values()) == 125


def test_a_map_of_ones_own_is_used_and_must_be_whole() -> None:
    own = dict.fromkeys(ALL_CODES, "Guest") | {"511": "Regular"}
    sold = transactions((1, "a", "5", NOON))
    assert rfm(sold, Rules(as_of=NOON, segment_map=own)).segment.tolist() == ["Regular"]
    with pytest.raises(ValueError, match="'111'"):
        Rules(as_of=NOON, segment_map={code: "x" for code in ALL_CODES if code != "111"})


def test_no_transactions_give_empty_results_with_all_columns() -> None:
    assert rfm(transactions(), Rules(as_of=NOON)).empty
    assert list(menu(transactions(), items(), Rules(as_of=NOON))) == [
        "daytime_id",
        "menu_item_id",
        "rank",
        "orders",
        "quantity",
        "share",
    ]
    assert rfm_cut_points(transactions(), Rules(as_of=NOON))["recency_days"] == cut_points([]) == []


@given(st.lists(st.integers(-(10**6), 10**9) | st.integers(0, 60), min_size=2, max_size=200))
def test_cut_points_are_qcuts_edges_where_those_are_distinct(values: list[int]) -> None:
    cuts = cut_points(values)
    assume(len({min(values), *cuts, max(values)}) == 6)
    bins, edges = pd.qcut(pd.Series(values), 5, labels=False, retbins=True)
    assert [float(cut) for cut in cuts] == pytest.approx(edges[1:5].tolist(), abs=1e-12 * max(map(abs, values)))
    assert [sum(cut < value for cut in cuts) for value in values] == bins.tolist()


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 10**6)), min_size=5, max_size=60))
def test_scores_are_qcuts_where_its_edges_are_distinct(customers: list[tuple[int, int]]) -> None:
    sold = transactions(
        [(n, f"c{n:02}", Decimal(c).scaleb(-2), NOON - timedelta(days=d)) for n, (d, c) in enumerate(customers)]
    )
    found = rfm(sold, Rules(as_of=NOON))
    for column, score, labels in (
        ("recency_days", "r_score", [5, 4, 3, 2, 1]),
        ("monetary", "m_score", [1, 2, 3, 4, 5]),
    ):
        whole = [int(value * 100) for value in found[column]]
        assume(len({min(whole), *cut_points(whole), max(whole)}) == 6)
        assert found[score].tolist() == pd.qcut(pd.Series(whole), 5, labels=labels).tolist()


# The menu


def test_a_daypart_by_hand() -> None:
    breakfast, lunch = at("2026-03-02T07:00+00:00"), at("2026-03-01T13:00+00:00")
    sold = transactions(
        (1, "a", "10", breakfast),
        (2**62, None, "10", breakfast),
        (3, "", "0.005", breakfast),
        (4, "b", "10", breakfast),
        (5, "b", "0.004", breakfast),
        (6, "b", "-3", breakfast),
        (7, "b", "10", lunch),
    )
    lines = items(
        (1, 11, 1, "1.00"),
        (1, 11, 2, "1.00"),
        (1, 12, 1, "0"),
        (2**62, 11, 1, "1.00"),
        (2**62, 13, 4, "2.00"),
        (3, 12, 1, None),
        (3, 14, -1, "9.00"),
        (4, 14, 0, "9.00"),
        (5, 15, 1, "1.00"),
        (6, 15, 1, "1.00"),
        (7, 15, 1, "1.00"),
        (2**62 - 1, 15, 1, "1.00"),
        (None, 15, 1, "1.00"),
    )
    # Two of the four counted breakfasts have a counted line: 1 and 2**62.
    assert menu(sold, lines, Rules(as_of=NOON)).values.tolist() == [
        [2, 11, 1, 2, 4, 1.0],
        [2, 13, 2, 1, 4, 0.5],
        [2, 12, 3, 1, 1, 0.5],
        [4, 15, 1, 1, 1, 1.0],
    ]
    assert menu_counts(sold, lines, Rules(as_of=NOON)) == MenuCounts(
        transactions=5,
        transactions_in_gaps=0,
        lines_in_gaps=0,
        lines_without_transaction=2,
        skipped_transactions=0,
        skipped_lines=1,
    )


def test_ties_are_broken_by_quantity_then_revenue_then_the_lowest_id() -> None:
    sold = transactions((1, None, "10", NOON), (2, None, "10", NOON))
    lines = items(
        (1, 9, 2, "0.005"),  # one cent
        (1, 8, 1, "0.005"),  # two cents: each line is rounded
        (1, 8, 1, "0.005"),
        (1, 7, 2, "0.005"),
        (1, 6, 1, "99.00"),
        (1, 5, 1, "1.00"),
        (2, 5, 1, "1.00"),
        (1, 4, 3, "0"),
    )
    assert menu(sold, lines, Rules(as_of=NOON)).menu_item_id.tolist() == [5, 4, 8, 7, 9, 6]
    assert menu(sold, lines, Rules(as_of=NOON, top_n=2)).menu_item_id.tolist() == [5, 4]


def test_weighed_goods_by_hand() -> None:
    sold = transactions((1, "a", "4.20", NOON), (2, "a", "4.20", NOON))
    lines = items(
        (1, 1, "0.35", "12"),
        (1, 2, "1.0", "5"),
        (2, 1, Decimal("0.45"), "12"),
        (2, 3, "0.0004", "1"),
        (2, 4, "-0.5", "1"),
    )
    found = menu(sold, lines, Rules(as_of=NOON))
    assert found[["menu_item_id", "orders", "quantity"]].values.tolist() == [
        [1, 2, Decimal("0.8")],
        [2, 1, 1],
        [3, 1, 0],
    ]
    assert menu_counts(sold, lines, Rules(as_of=NOON)).rounded_lines == 1


def test_what_falls_into_a_gap_is_counted() -> None:
    rules = Rules(as_of=NOON, dayparts=[(1, "Lunch", time(12), time(12, 59))])
    sold = transactions((1, "a", "5", NOON), (2, "a", "5", NOON - timedelta(hours=1)), (3, "a", "-5", NOON))
    lines = items((1, 1, 1, "1"), (2, 1, 1, "1"), (2, 2, 1, "1"), (2, 3, 1, None), (3, 1, 1, "1"))
    assert menu(sold, lines, rules).values.tolist() == [[1, 1, 1, 1, 1, 1.0]]
    assert menu_counts(sold, lines, rules) == MenuCounts(
        transactions=1,
        transactions_in_gaps=1,
        lines_in_gaps=2,
        lines_without_transaction=0,
        skipped_transactions=0,
        skipped_lines=1,
    )


# Comparing


def test_equal_results_compare_equal_in_any_order_and_with_other_columns() -> None:
    expected = rfm(transactions((1, "a", "5", NOON), (2, "b", "6", NOON)), Rules(as_of=NOON))
    mixed = expected.iloc[::-1].assign(run_id="x")
    mixed["recency_days"] = mixed["recency_days"].astype("int64")
    compare_rfm(mixed, expected)


def test_differences_are_named() -> None:
    expected = rfm(transactions((1, "a", "5", NOON), (2, "b", "6", NOON)), Rules(as_of=NOON))
    other = rfm(transactions((1, "a", "5.01", NOON), (2, "c", "6", NOON)), Rules(as_of=NOON))
    with pytest.raises(AssertionError) as raised:
        compare_rfm(other, expected)
    text = str(raised.value)
    assert "3 rows differ (2 found, 2 expected)" in text
    assert "mobile_id='a': monetary is Decimal('5.01'), expected Decimal('5.00')" in text
    assert "mobile_id='b': is missing" in text and "mobile_id='c': was not expected" in text
    with pytest.raises(AssertionError, match="there twice"):
        compare_rfm(pd.concat([expected, expected]), expected)
    with pytest.raises(AssertionError, match=r"columns are missing: \['segment'\]"):
        compare_rfm(expected.drop(columns="segment"), expected)


def test_shares_are_compared_to_twelve_places() -> None:
    sold = transactions((1, None, "5", NOON), (2, None, "5", NOON), (3, None, "5", NOON))
    expected = menu(sold, items((1, 1, 1, "1"), (2, 2, 1, "1"), (3, 2, 1, "1")), Rules(as_of=NOON))
    compare_menu(expected.assign(share=expected.share + 1e-13), expected)
    with pytest.raises(AssertionError, match="daytime_id=3, rank=1: share is"):
        compare_menu(expected.assign(share=expected.share + 1e-11), expected)
    with pytest.raises(AssertionError, match="share is None"):
        compare_menu(expected.assign(share=None), expected)


# Any restaurant


@pytest.mark.long
@ANY_CASE
@given(cases(), st.randoms())
def test_row_order_changes_nothing(case: Case, random: Any) -> None:
    def mixed(frame: pd.DataFrame) -> pd.DataFrame:
        rows: pd.DataFrame = frame.iloc[random.sample(range(len(frame)), len(frame))]
        return rows

    sold, lines = mixed(case.transactions), mixed(case.items)
    pd.testing.assert_frame_equal(rfm(sold, case.rules), rfm(case.transactions, case.rules))
    pd.testing.assert_frame_equal(menu(sold, lines, case.rules), menu(case.transactions, case.items, case.rules))


@pytest.mark.long
@ANY_CASE
@given(cases())
def test_any_result_keeps_what_the_contract_says_of_all(case: Case) -> None:
    segments, ranks = rfm(case.transactions, case.rules), menu(case.transactions, case.items, case.rules)
    assert segments.mobile_id.is_unique and (segments.frequency >= 1).all()
    if len(segments):
        own = case.rules.own_cut_points
        if "recency_days" not in own:
            assert segments.r_score[segments.recency_days == segments.recency_days.min()].eq(5).all()
        if "monetary" not in own and not case.rules.average:
            assert segments.m_score[segments.monetary == segments.monetary.min()].eq(1).all()
        if "frequency" not in own:
            assert segments.f_score[segments.frequency == segments.frequency.min()].eq(1).all()
    for _, part in ranks.groupby("daytime_id"):
        assert part["rank"].tolist() == list(range(1, len(part) + 1)) and len(part) <= case.rules.top_n
        assert case.rules.rank_by != "orders" or part.orders.is_monotonic_decreasing
        assert part.share.between(0, 1, inclusive="right").all()
    assert (ranks.quantity >= ranks.orders).all()


# Real data


@pytest.fixture(scope="module")
def online_retail() -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = data("online_retail")
    return pd.read_parquet(folder / "transactions.parquet"), pd.read_parquet(folder / "items.parquet")


ONLINE_RETAIL = Rules(as_of=at("2011-12-10T00:00:00+00:00"), timezone="Europe/London")


def test_the_segments_of_online_retail(online_retail: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = rfm(online_retail[0], ONLINE_RETAIL)
    assert len(found) == 4338
    assert Counter(found.segment) == {
        "Champions": 804,
        "Hibernating": 660,
        "Lost": 566,
        "New Customers": 400,
        "Loyal Customers": 399,
        "At Risk": 350,
        "Potential Loyalists": 313,
        "Need Attention": 253,
        "Promising": 243,
        "About To Sleep": 222,
        "Cannot Lose Them": 128,
    }


@pytest.mark.long
def test_the_breakfast_of_online_retail(online_retail: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = menu(*online_retail, ONLINE_RETAIL)
    first = found[found.daytime_id == 2].iloc[0]
    assert first[["menu_item_id", "rank", "orders", "quantity"]].tolist() == [1349, 1, 344, 3105]
    assert round(first.share, 6) == 0.107534


def test_a_restaurant_of_guests_has_a_menu_and_no_customers() -> None:
    folder = data("restaurant")
    sold = pd.read_csv(folder / "transactions.csv", dtype={"mobile_id": "str"}, parse_dates=["created_at"])
    lines = pd.read_csv(folder / "items.csv")
    rules = Rules(as_of=at("2023-04-01T00:00:00+00:00"))
    assert rfm(sold, rules).empty
    found, counts = menu(sold, lines, rules), menu_counts(sold, lines, rules)
    # Of 5,370 orders 27 cost nothing; no default daypart leaves a gap.
    assert (counts.transactions, counts.skipped_transactions, counts.lines_without_transaction) == (5343, 0, 0)
    assert found[found.daytime_id == 4].values.tolist()[:3] == [
        [4, 102, 1, 149, 160, 149 / 1147],
        [4, 108, 2, 141, 150, 141 / 1147],
        [4, 101, 3, 140, 151, 140 / 1147],
    ]
    assert found.menu_item_id.between(101, 132).all() and found["rank"].max() == 10
