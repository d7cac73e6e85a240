"""Both results equal the oracle's, row for row, on generated small restaurants with the problems of real data; long,
since the same cases check both results.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

from settings import Settings
from source import orders, reading
from store.database import engine
from tests import oracle
from tests.builders import Case, cases, items, menu_env, menu_items, segment_map, transactions
from tests.oracle import Rules
from tests.system import fill, make_settings, menu_on, menu_recommendation, rfm_segments, run_inline

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DATABASE_TEST = hypothesis_settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def settings_for(url: str, home: Path, rules: Rules, **more: str) -> Settings:
    (home / "map.toml").write_text(segment_map(rules))
    return make_settings(
        url,
        home,
        TIMEZONE=rules.timezone,
        BUSINESS_DAY_START=rules.business_day_start.isoformat("minutes"),
        SEGMENT_MAP=str(home / "map.toml"),
        RFM_LOOKBACK_DAYS=str(rules.rfm_lookback_days),
        MENU_LOOKBACK_DAYS=str(rules.menu_lookback_days),
        **menu_env(rules) | more,
    )


def dayparts_of(rules: Rules) -> pd.DataFrame:
    columns = ["daytime_id", "daytime_label", "start_time", "end_time"]
    rows = [(number, f"part {number}", start, end) for number, start, end in rules.dayparts]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def put(url: str, case: Case, amount: str = "numeric", quantity: str = "int") -> None:
    tables = {
        "fact_transactions": case.transactions,
        "fact_transaction_items": case.items,
        "dim_menu_items": menu_items(case.rules),
        "dim_menu_daytimes": dayparts_of(case.rules),
    }
    fill(url, tables, amount=amount, quantity=quantity)


def check_both(url: str, home: Path, case: Case, **env: str) -> None:
    settings = settings_for(url, home, case.rules, **env)
    for kind in ("rfm", "menu"):
        run = run_inline(settings, kind, as_of=case.rules.as_of).run
        assert run.status == "succeeded", run.error
    segments = rfm_segments(url)
    segments["monetary"] = [Decimal(value) for value in segments["monetary"]]
    oracle.compare_rfm(segments, oracle.rfm(case.transactions, case.rules))
    oracle.compare_menu(menu_recommendation(url), oracle.menu(case.transactions, case.items, case.rules))
    for day, weekdays in (("weekday", (1, 2, 3, 4, 5)), ("weekend", (6, 7)), ("3", (3,))):
        oracle.compare_menu(menu_on(url, day), oracle.menu(case.transactions, case.items, case.rules, weekdays))


def test_any_restaurant_is_computed_as_the_contract_says(migrated_url: str, tmp_path: Path) -> None:
    @DATABASE_TEST
    @given(case=cases(), shards=st.sampled_from(["", "2", "7"]), amount=st.sampled_from(["numeric", "float8"]))
    def check(case: Case, shards: str, amount: str) -> None:
        put(migrated_url, case, amount)
        check_both(migrated_url, tmp_path, case, RFM_SHARDS=shards)

    check()


@pytest.mark.parametrize(
    "quantity",
    ["numeric", pytest.param("float8", marks=pytest.mark.long), pytest.param("real", marks=pytest.mark.long)],
)
def test_weighed_goods_are_counted_in_thousandths(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantity: str
) -> None:
    rounded: Counter[bool] = Counter()

    @hypothesis_settings(DATABASE_TEST, max_examples=12)
    @given(case=cases(weighed=True), rows=st.sampled_from([2, 250_000]))
    def check(case: Case, rows: int) -> None:
        monkeypatch.setattr(orders, "BLOCK", rows)
        put(migrated_url, case, quantity=quantity)
        run = run_inline(settings_for(migrated_url, tmp_path, case.rules), "menu", as_of=case.rules.as_of).run
        assert run.status == "succeeded" and run.counts is not None, run.error
        oracle.compare_menu(menu_recommendation(migrated_url), oracle.menu(case.transactions, case.items, case.rules))
        counted = oracle.menu_counts(case.transactions, case.items, case.rules)
        for name in ("skipped_lines", "rounded_lines", "lines_without_transaction"):
            assert run.counts[name] == getattr(counted, name), name
        rounded[counted.rounded_lines > 0] += 1

    check()
    assert rounded[True] and rounded[False]


def test_neither_row_order_nor_shards_change_anything(migrated_url: str, tmp_path: Path) -> None:
    @hypothesis_settings(DATABASE_TEST, max_examples=2)
    @given(case=cases(), seed=st.integers(0, 1000))
    def check(case: Case, seed: int) -> None:
        seen = []
        for shards in ("1", "7", "64"):
            mixed = replace(
                case,
                transactions=case.transactions.sample(frac=1, random_state=seed + int(shards)),
                items=case.items.sample(frac=1, random_state=seed + int(shards)),
            )
            put(migrated_url, mixed)
            settings = settings_for(migrated_url, tmp_path, case.rules, RFM_SHARDS=shards)
            run_inline(settings, "rfm", as_of=case.rules.as_of)
            run_inline(settings, "menu", as_of=case.rules.as_of)
            seen.append((rfm_segments(migrated_url), menu_recommendation(migrated_url)))
        assert all(one.equals(seen[0][0]) and other.equals(seen[0][1]) for one, other in seen)

    check()


def test_blocks_of_any_size_give_the_same_menu(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @DATABASE_TEST
    @given(case=cases(), rows=st.integers(1, 4))
    def check(case: Case, rows: int) -> None:
        monkeypatch.setattr(orders, "BLOCK", rows)
        put(migrated_url, case)
        run = run_inline(settings_for(migrated_url, tmp_path, case.rules), "menu", as_of=case.rules.as_of).run
        oracle.compare_menu(menu_recommendation(migrated_url), oracle.menu(case.transactions, case.items, case.rules))
        counted = oracle.menu_counts(case.transactions, case.items, case.rules)
        for name in ("lines_without_transaction", "skipped_lines", "skipped_transactions", "transactions_in_gaps"):
            assert run.counts is not None and run.counts[name] == getattr(counted, name), name

    check()


LINE_EDGES = st.tuples(
    st.sampled_from([1, 2, 3, 2**31, 2**31 + 1]),
    st.sampled_from([1, 2, -7, None, 2**31 - 1, -(2**31)]) | st.just(2**31),
    st.sampled_from([1, 2, 0, -1, None, 8191, -8191]) | st.just(8192),
    st.sampled_from(["1.50", "0", "-2.25", "0.005", "2.675", "21474836.47", None, "NaN"]) | st.just("21474836.48"),
)


@pytest.mark.parametrize("amount", ["numeric", "double precision"])
def test_lines_that_fit_are_read_packed_and_mean_the_same(migrated_url: str, amount: str) -> None:
    fitted: Counter[bool] = Counter()

    @hypothesis_settings(DATABASE_TEST, max_examples=40)
    @given(lines=st.lists(LINE_EDGES, max_size=3))
    def check(lines: list[tuple[Any, ...]]) -> None:
        fill(migrated_url, {"fact_transaction_items": items(lines)}, amount=amount)
        every = sql.SQL("transaction_id IS NOT NULL")
        with reading.connect(migrated_url) as crm:
            plan = {"columns": {"fact_transaction_items": reading.column_types(crm, "fact_transaction_items")}}
            first = orders._first_to_pack_from(crm, plan, every)
            packed = None if first is None else orders._read_packed(crm, plan, every, first)
            plain = orders._read(crm, orders._lines(plan, every), limit=orders.BLOCK)
        numbers = [line[0] for line in lines]
        near = bool(lines) and max(numbers) - min(numbers) < 2**31
        fits = near and all(
            item != 2**31 and pieces != 8192 and price != "21474836.48" for _, item, pieces, price in lines
        )
        assert first == (min(numbers) if near else None)
        assert packed is not None or not fits or amount != "numeric"
        fitted[fits] += 1
        if packed is not None:
            assert usable(packed) == usable(plain)

    check()
    assert fitted[True] and fitted[False]


def usable(lines: list[Any]) -> list[tuple[int, ...]]:
    """The lines as rows, in order; of those that can't be used only the transactions."""
    rows = zip(*(column.tolist() for column in lines), strict=True)
    return sorted(row if row[3] != orders.LEAST else (row[0],) for row in rows)


def order(number: int, customer: str | None, amount: str = "10.00", at: datetime = NOON) -> tuple[Any, ...]:
    return (number, customer, amount, at)


@pytest.mark.parametrize("customers", [1, 4])
def test_a_handful_of_customers_is_scored(migrated_url: str, tmp_path: Path, customers: int) -> None:
    sold = [order(number, f"c{number}", f"{number}.50") for number in range(1, customers + 1)]
    case = Case(transactions(sold), items([]), Rules(as_of=NOON))
    put(migrated_url, case)
    check_both(migrated_url, tmp_path, case)
    assert len(rfm_segments(migrated_url)) == customers


def test_all_equal_customers_are_511(migrated_url: str, tmp_path: Path) -> None:
    case = Case(transactions([order(n, f"c{n}") for n in range(9)]), items([]), Rules(as_of=NOON))
    put(migrated_url, case)
    check_both(migrated_url, tmp_path, case, RFM_SHARDS="3")
    assert set(rfm_segments(migrated_url).rfm_score) == {"511"}


def test_a_customer_with_refunds_only_has_no_segment_and_refunds_lower_monetary(
    migrated_url: str, tmp_path: Path
) -> None:
    sold = [order(1, "a"), order(2, "a", "-12.00"), order(3, "b", "-5.00"), order(4, None), order(5, "")]
    case = Case(transactions(sold), items([]), Rules(as_of=NOON))
    put(migrated_url, case)
    check_both(migrated_url, tmp_path, case)
    assert rfm_segments(migrated_url).monetary.tolist() == [Decimal("-2.00")]


def test_guests_only_give_an_empty_result_and_a_menu(migrated_url: str, tmp_path: Path) -> None:
    case = Case(transactions([order(1, None), order(2, "")]), items([(1, 5, 2, "3.00")]), Rules(as_of=NOON))
    put(migrated_url, case)
    check_both(migrated_url, tmp_path, case)
    assert rfm_segments(migrated_url).empty and len(menu_recommendation(migrated_url)) == 1


def test_amounts_are_rounded_half_away_from_zero_on_their_decimal_text(migrated_url: str, tmp_path: Path) -> None:
    amounts = ["1.005", "2.675", "12345.67", "0.005", "-0.005"]
    sold = [
        order(number, customer, amount) for number, (customer, amount) in enumerate(zip("abcdd", amounts, strict=True))
    ]
    case = Case(transactions(sold), items([]), Rules(as_of=NOON))
    for kind in ("float8", "numeric", "real"):
        put(migrated_url, case, kind)
        run_inline(settings_for(migrated_url, tmp_path, case.rules), "rfm", as_of=NOON)
        assert rfm_segments(migrated_url).monetary.astype(str).tolist() == ["1.01", "2.68", "12345.67", "0.00"], kind


def test_a_float_is_not_rounded_twice(migrated_url: str, tmp_path: Path) -> None:
    case = Case(transactions([order(1, "a", "123456789012.0049")]), items([]), Rules(as_of=NOON))
    put(migrated_url, case, "float8")
    check_both(migrated_url, tmp_path, case)
    assert str(rfm_segments(migrated_url).monetary[0]) == "123456789012.00"


def test_the_lookback_keeps_its_first_business_date_whole(migrated_url: str, tmp_path: Path) -> None:
    rules = Rules(as_of=NOON, timezone="America/New_York", rfm_lookback_days=2, menu_lookback_days=2)
    first = datetime(2026, 2, 28, 4, tzinfo=ZoneInfo("America/New_York"))
    moment = timedelta(microseconds=1)
    sold = [order(1, "kept", at=first), order(2, "gone", at=first - moment), order(3, "new", at=NOON)]
    case = Case(transactions(sold), items([(number, number, 1, "1.00") for number in (1, 2, 3)]), rules)
    put(migrated_url, case)
    check_both(migrated_url, tmp_path, case)
    assert rfm_segments(migrated_url).mobile_id.tolist() == ["kept", "new"]
    assert menu_recommendation(migrated_url).menu_item_id.tolist() == [1, 3]


def test_a_floats_text_does_not_hang_on_a_setting_of_the_database(migrated_url: str, tmp_path: Path) -> None:
    case = Case(transactions([order(1, "c1", 123456789012.0049)]), items([]), Rules(as_of=NOON))
    put(migrated_url, case, amount="double precision")
    with psycopg.connect(migrated_url) as connection:
        name = connection.info.dbname
        connection.execute(sql.SQL("ALTER DATABASE {} SET extra_float_digits = 0").format(sql.Identifier(name)))
    engine(migrated_url).dispose()  # connections opened before would not have it
    with reading.connect(migrated_url) as crm:
        told = crm.execute("SELECT total_amount::text FROM fact_transactions").fetchall()
    assert told == [("123456789012.0049",)]
    run_inline(settings_for(migrated_url, tmp_path, case.rules), "rfm", as_of=NOON)
    assert rfm_segments(migrated_url).monetary.tolist() == [Decimal("123456789012.00")]


def test_integer_amounts_are_read(migrated_url: str, tmp_path: Path) -> None:
    case = Case(transactions([order(1, "a", "3"), order(2, "b", "4")]), items([(1, 5, 2, "3")]), Rules(as_of=NOON))
    put(migrated_url, case, "bigint")
    check_both(migrated_url, tmp_path, case)


def test_what_is_skipped_left_out_or_in_a_gap_is_counted(migrated_url: str, tmp_path: Path) -> None:
    rules = Rules(as_of=NOON + timedelta(hours=9), dayparts=((1, time(12, 0), time(12, 59)),))
    sold = [
        order(1, "a"),
        order(2, "a", "NaN"),
        (3, "a", "5.00", None),
        order(4, "b", "Infinity"),
        order(5, None, "NaN"),
        order(6, "c", at=NOON + timedelta(hours=8)),
        order(7, "d", "NaN", NOON + timedelta(days=2)),
    ]
    lines = [
        (1, 1, 1, "1.00"),
        (1, 2, 1, None),
        (1, 3, 1, "NaN"),
        (99, 1, 1, "1.00"),
        (None, 1, 1, "1.00"),
        (6, 1, 1, "1"),
    ]
    case = Case(transactions(sold), items(lines), rules)
    put(migrated_url, case)
    settings = settings_for(migrated_url, tmp_path, rules)
    assert run_inline(settings, "rfm", as_of=rules.as_of).run.counts["skipped_transactions"] == 3  # type: ignore[index]
    counts = run_inline(settings, "menu", as_of=rules.as_of).run.counts
    assert counts == {
        "transactions": 1,
        "transactions_in_gaps": 1,
        "skipped_transactions": 4,
        "skipped_lines": 2,
        "lines_without_transaction": 2,
        "rounded_lines": 0,
        "future_transactions": 1,
    }


def test_views_serve_as_source_tables(migrated_url: str, tmp_path: Path) -> None:
    sold = [order(number, f"c{number % 5}") for number in range(40)]
    case = Case(transactions(sold), items([(number, 1, 1, "2.50") for number in range(40)]), Rules(as_of=NOON))
    put(migrated_url, case)
    with psycopg.connect(migrated_url) as connection:
        for table in ("fact_transactions", "fact_transaction_items", "dim_menu_items", "dim_menu_daytimes"):
            connection.execute(f"ALTER TABLE {table} RENAME TO raw_{table}")  # type: ignore[arg-type]
            connection.execute(f"CREATE VIEW {table} AS SELECT * FROM raw_{table}")  # type: ignore[arg-type]
    check_both(migrated_url, tmp_path, case, RFM_SHARDS="3")


def test_the_source_may_be_another_server(migrated_url: str, servers: dict[str, str], tmp_path: Path) -> None:
    from embedded.keeper import open_servers

    rules = Rules(as_of=NOON, timezone="Europe/London")
    sold = [order(number, f"c{number % 7}", f"{number}.25") for number in range(50)]
    lines = [(number, number % 3, 1 + number % 2, "2.505") for number in range(50)]
    case = Case(transactions(sold), items(lines), rules)
    with open_servers(tmp_path / "other", database=True, redis=False) as other:
        put(other["DATABASE_URL"], case)
        check_both(migrated_url, tmp_path, case, SOURCE_DATABASE_URL=other["DATABASE_URL"], RFM_SHARDS="3")
