"""Incremental runs: after any import the published results equal the oracle's over all orders; long, since all cases
share one restaurant.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

import kinds
from kinds import upkeep
from kinds.rfm import changes, quantiles, results
from kinds.rfm.models import Change
from source import touched
from store import inbox
from store.database import transaction
from tests.books import EVENING, Restaurant
from tests.builders import menu_rules, mostly_not, own_rules
from tests.system import (
    do_part,
    finish_inline,
    make_settings,
    menu_recommendation,
    read,
    rfm_segments,
    run_inline,
)
from worker import steering

MENU_PARTS = ((1, time(4, 0), time(11, 59)), (2, time(12, 0), time(17, 59)), (3, time(18, 0), time(2, 0)))


class Reader:
    """A CRM that reads the first published segments and then only the changes."""

    def __init__(self, url: str) -> None:
        self.url, self.seen = url, 0
        self.segments = self.published()

    def published(self) -> dict[str, str]:
        return dict(rfm_segments(self.url)[["mobile_id", "segment"]].itertuples(index=False))

    def follow(self) -> list[tuple[str, str | None, str | None, str]]:
        told = read(
            self.url,
            "SELECT change_id, mobile_id, from_segment, to_segment, reason FROM segment_changes"
            f" WHERE change_id > {self.seen} ORDER BY change_id",
        )
        for change in told.itertuples():
            assert self.segments.get(change.mobile_id) == change.from_segment
            self.segments[change.mobile_id] = change.to_segment
            if change.to_segment is None:
                del self.segments[change.mobile_id]
            self.seen = change.change_id
        return [tuple(row) for row in told.drop(columns="change_id").itertuples(index=False)]


CUSTOMERS = st.sampled_from([f"c{number}" for number in range(12)] + [None, ""])
AMOUNTS = st.sampled_from(["10.00", "25.50", "0.005", "3", "80", "-4.00", "-10.00", "0", "NaN"])
DISHES = st.lists(st.integers(1, 5), max_size=3)


@st.composite
def imports(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Several steps: passing minutes, new rows, corrected rows, and sometimes a setting."""
    return draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "minutes": st.sampled_from([0, 1, 20, 20, 90, 500, 1500, 5 * 1440]),
                    "new": st.lists(st.tuples(CUSTOMERS, AMOUNTS, ages(), DISHES), max_size=5),
                    "late": st.lists(st.tuples(CUSTOMERS, AMOUNTS, ages(), DISHES), max_size=2),
                    "named": st.lists(st.tuples(CUSTOMERS, AMOUNTS, ages(), DISHES), max_size=2),
                    "mended": st.lists(st.tuples(st.integers(0, 50), AMOUNTS), max_size=2),
                    "own": mostly_not(own_rules(("c1", "c2", "c3"))),
                    "menu": mostly_not(menu_rules((1, 2, 3, 4, 5))),
                    "top_n": st.sampled_from([None, None, None, None, 2, 3]),
                    "dayparts": st.sampled_from([None, None, None, None, MENU_PARTS, MENU_PARTS[:2]]),
                    "lookback": st.sampled_from([None, None, None, None, None, 0, 2, 6]),
                }
            ),
            min_size=2,
            max_size=5,
        )
    )


def ages() -> st.SearchStrategy[int | None]:
    """Minutes before now; below zero is in the future, None is a NULL time."""
    return st.sampled_from([0, 0, 1, 5, 30, 300, 1440, 3 * 1440, 9 * 1440, -1, -10, -60, -2000, None])


def put(restaurant: Restaurant, number: int, row: tuple[Any, ...]) -> None:
    customer, amount, age, dishes = row
    at = None if age is None else restaurant.now - timedelta(minutes=age)
    restaurant.sell(number, customer, amount, at, *dishes)


def test_after_any_imports_the_results_are_those_of_all_orders(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(touched, "OVERLAP_ROWS", 2)
    monkeypatch.setattr(quantiles, "NEAR", 1)  # so that cut points leave their ranges, too
    modes: set[str] = set()

    @hypothesis_settings(
        max_examples=3,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        start=st.lists(st.tuples(CUSTOMERS, AMOUNTS, ages(), DISHES), min_size=3, max_size=25),
        steps=imports(),
        lookback=st.sampled_from([0, 1, 4]),
        # At 18:30 and 01:30 the clocks of the first night step over the start of a business day.
        day_start=st.sampled_from([time(4), time(18, 30), time(1, 30)]),
    )
    def check(start: list[tuple[Any, ...]], steps: list[dict[str, Any]], lookback: int, day_start: time) -> None:
        with psycopg.connect(migrated_url) as connection:
            connection.execute(
                "TRUNCATE analytics_published, segment_changes, menu_results, menu_tallies, menu_totals, menu_items"
            )
        restaurant = Restaurant(migrated_url, tmp_path)
        restaurant.open()
        restaurant.rules = replace(
            restaurant.rules,
            rfm_lookback_days=lookback,
            menu_lookback_days=lookback,
            business_day_start=day_start,
        )
        for place, row in enumerate(start):
            put(restaurant, 1000 + 100 * place, row)
        assert restaurant.refresh() == {"full"}
        restaurant.check()
        reader = Reader(migrated_url)
        low, late = 0, 0
        for step in steps:
            newest = max(restaurant.sold)
            restaurant.now += timedelta(minutes=step["minutes"])
            for row in step["late"]:
                late += 1  # below the newest id, above the covered ones
                put(restaurant, newest - 50 + late, row)
            for place, row in enumerate(step["new"]):
                put(restaurant, newest + 100 + 100 * place, row)
            known, named = sorted(restaurant.sold), []
            for row in step["named"]:
                low += 1
                put(restaurant, low, row)
                named.append(low)
            for place, amount in step["mended"]:
                number = known[place % len(known)]
                restaurant.sell(number, restaurant.sold[number][1], amount, restaurant.sold[number][3])
                named.append(number)
            changed = {"top_n": step["top_n"] or restaurant.rules.top_n} | (step["own"] or {})
            if step["lookback"] is not None:
                changed |= {"rfm_lookback_days": step["lookback"], "menu_lookback_days": step["lookback"]}
            restaurant.rules = replace(restaurant.rules, **changed)
            if step["menu"]:
                restaurant.set_menu(**step["menu"])
            if step["dayparts"]:
                restaurant.set_dayparts(step["dayparts"])
            modes.update(restaurant.refresh(named=(min(named), max(named)) if named else None))
            restaurant.check()
            reader.follow()
            assert reader.segments == reader.published()

    check()
    assert modes == {"incremental", "full"}


@pytest.fixture
def restaurant(migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Restaurant:
    """Ten customers with one to ten orders, published."""
    monkeypatch.setattr(touched, "OVERLAP_ROWS", 2)
    monkeypatch.setattr(quantiles, "NEAR", 1)  # so that cut points leave their ranges, too
    opened = Restaurant(migrated_url, tmp_path)
    opened.open()
    for customer in range(1, 11):
        for visit in range(customer):
            put(
                opened,
                100 * customer + visit,
                (f"c{customer}", f"{customer}.00", 1440 * (11 - customer), [customer % 3]),
            )
    assert opened.refresh() == {"full"}
    return opened


def run_ids(url: str) -> set[UUID]:
    return set(read(url, "SELECT DISTINCT run_id FROM rfm_segments").run_id)


def test_only_rows_whose_values_change_are_written(restaurant: Restaurant) -> None:
    before = read(restaurant.url, "SELECT mobile_id, run_id FROM rfm_segments ORDER BY 1")
    menu_before = read(restaurant.url, "SELECT DISTINCT run_id FROM menu_recommendation").run_id.tolist()
    assert restaurant.refresh() == {"incremental"}
    assert read(restaurant.url, "SELECT mobile_id, run_id FROM rfm_segments ORDER BY 1").equals(before)
    assert read(restaurant.url, "SELECT DISTINCT run_id FROM menu_recommendation").run_id.tolist() == menu_before
    put(restaurant, 2000, ("c10", "0.01", 1, []))
    restaurant.refresh()
    restaurant.check()
    assert len(run_ids(restaurant.url)) == 2


def test_a_new_business_date_alone_writes_no_row(restaurant: Restaurant) -> None:
    columns = "mobile_id, r_score, f_score, m_score, segment, run_id, computed_at"
    before = read(restaurant.url, f"SELECT {columns}, recency_days + 3 AS recency_days FROM rfm_segments ORDER BY 1")
    ranks = "SELECT daytime_id, rank, run_id, created_at FROM menu_recommendation ORDER BY 1, 2"
    ranks_before = read(restaurant.url, ranks)
    restaurant.now += timedelta(days=3)
    assert restaurant.refresh() == {"incremental"}
    restaurant.check()
    assert read(restaurant.url, f"SELECT {columns}, recency_days FROM rfm_segments ORDER BY 1").equals(before)
    assert read(restaurant.url, ranks).equals(ranks_before)
    assert read(restaurant.url, "SELECT * FROM segment_changes").empty


def test_with_each_day_a_lookback_lets_go_of_what_left_it(restaurant: Restaurant) -> None:
    restaurant.rules = replace(restaurant.rules, rfm_lookback_days=6, menu_lookback_days=4)
    assert restaurant.refresh() == {"full"}
    customers = [len(rfm_segments(restaurant.url))]
    for days in (1, 1, 2, 30):
        restaurant.now += timedelta(days=days)
        assert restaurant.refresh() == {"incremental"}
        restaurant.check()
        customers.append(len(rfm_segments(restaurant.url)))
    assert customers == sorted(customers, reverse=True) and customers[0] > customers[2] > customers[-1] == 0


def test_who_passes_an_own_cut_point_of_recency_with_the_day_moves(restaurant: Restaurant) -> None:
    own = {"recency_days": [Decimal(cut) for cut in ("2.5", 5, 7, 20)]}
    reader = Reader(restaurant.url)
    restaurant.rules = replace(restaurant.rules, own_cut_points=own)
    restaurant.refresh()
    reader.follow()
    scores = [rfm_segments(restaurant.url).r_score.tolist()]
    for _ in range(3):
        restaurant.now += timedelta(days=1)
        assert restaurant.refresh() == {"incremental"}
        restaurant.check()
        assert {reason for *_, reason in reader.follow()} <= {"behaviour"}
        assert reader.segments == reader.published()
        scores.append(rfm_segments(restaurant.url).r_score.tolist())
    assert all(one != other for one, other in pairwise(scores))


def test_customers_are_counted_anew_after_one_was_forgotten(restaurant: Restaurant) -> None:
    gone = restaurant.remove(lambda number, customer: customer == "c1")
    with transaction(restaurant.url) as session:
        assert upkeep.forget(session, "c1") == 1
    assert restaurant.refresh(named=(min(gone), max(gone))) == {"incremental"}
    restaurant.check()


@pytest.mark.parametrize("newest", [False, True])
def test_rows_that_were_read_and_are_named_again_may_have_been_anything(
    restaurant: Restaurant, newest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(touched, "OVERLAP_ROWS", 3)
    restaurant.refresh("full")
    gone, moved, earlier = numbers = sorted(restaurant.sold)[-3:] if newest else sorted(restaurant.sold)[3:6]
    restaurant.remove(lambda number, customer: number == gone)
    for number, customer, days in ((moved, "moved", 0), (earlier, restaurant.sold[earlier][1], 40)):
        _, _, amount, at = restaurant.sold[number]
        restaurant.sell(number, customer, amount, at - timedelta(days))
    assert restaurant.refresh(named=(numbers[0], numbers[-1])) == {"incremental"}
    restaurant.check()
    plans = read(restaurant.url, "SELECT plan FROM analytics_runs ORDER BY generation DESC LIMIT 2").plan
    assert [plan["recompute_all"] for plan in plans] == [not newest, not newest]


def test_rows_that_are_new_and_named_are_read_alone(restaurant: Restaurant) -> None:
    last = max(restaurant.sold)
    for number in range(last + 1, last + 4):
        put(restaurant, number, ("c2", "12.00", 0, [1]))
    assert restaurant.refresh(named=(last + 1, last + 3)) == {"incremental"}
    restaurant.check()
    plans = read(restaurant.url, "SELECT plan FROM analytics_runs ORDER BY generation DESC LIMIT 2").plan
    assert [plan["recompute_all"] for plan in plans] == [False, False]


def test_a_large_refresh_is_a_task_of_its_own(restaurant: Restaurant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(touched, "SMALL", 2)
    put(restaurant, max(restaurant.sold) + 1, ("c2", "12.00", 0, [1]))
    for kind in ("rfm", "menu"):
        with transaction(restaurant.url) as session:
            run = inbox.request(session, [kind], mode="incremental")[0]
            run.as_of = restaurant.now
        assert steering.advance(restaurant.settings, run.run_id) == [(kinds.get(kind).stages[0].name, 0)]
        assert finish_inline(restaurant.settings, run.run_id).run.status == "running"  # its part was sent just now
        do_part(restaurant.settings, run.run_id, kinds.get(kind).stages[0].name, 0)
        assert finish_inline(restaurant.settings, run.run_id).run.status == "succeeded"
    restaurant.check()


def test_named_ids_of_a_run_that_failed_are_looked_at_by_the_next_one(restaurant: Restaurant) -> None:
    put(restaurant, 1, ("c1", "500.00", 2 * 1440, [4]))
    for kind in ("rfm", "menu"):
        with transaction(restaurant.url) as session:
            named = inbox.request(session, [kind], mode="incremental", named_ids=(1, 1))[0]
            named.as_of = restaurant.now
        steering.fail(restaurant.settings, named.run_id, "test", "It failed.")
    assert restaurant.refresh() == {"incremental"}
    restaurant.check()


def test_low_ids_that_nobody_named_wait_for_the_full_run(restaurant: Restaurant) -> None:
    put(restaurant, 1, ("c1", "500.00", 2 * 1440, [4]))
    restaurant.refresh()
    with pytest.raises(AssertionError):
        restaurant.check()
    assert restaurant.refresh("full") == {"full"}
    restaurant.check()


def test_a_run_with_its_own_as_of_tells_no_changes_and_the_next_one_is_full(restaurant: Restaurant) -> None:
    reader = Reader(restaurant.url)
    run_inline(restaurant.settings, "rfm", as_of=restaurant.now - timedelta(days=5))
    assert reader.follow() == [] and reader.published() != reader.segments
    put(restaurant, 2000, ("new", "5.00", 1, []))
    assert run_inline(restaurant.settings, "rfm", at=restaurant.now, mode="incremental").run.mode == "full"
    assert {change[0]: change[1:3] for change in reader.follow()}["new"][0] is None
    assert reader.segments == reader.published()
    kept = read(restaurant.url, "SELECT DISTINCT generation FROM rfm_results").generation.tolist()
    assert len(kept) == 1


@pytest.mark.parametrize("collation", ["default", "C"])
def test_a_move_is_told_with_its_reason(restaurant: Restaurant, collation: str) -> None:
    with psycopg.connect(restaurant.url) as connection:
        alter = sql.SQL("ALTER TABLE fact_transactions ALTER mobile_id TYPE text COLLATE {}")
        connection.execute(alter.format(sql.Identifier(collation)))
    reader = Reader(restaurant.url)
    for visit in range(12):
        put(restaurant, 2000 + visit, ("c1", "90.00", 1, []))
    restaurant.refresh()
    told = {customer: reason for customer, _, _, reason in reader.follow()}
    assert told["c1"] == "behaviour" and "cut_points" in told.values()
    for mode in ("incremental", "full"):
        put(restaurant, 3000 + len(mode), (f"new {mode}", "90.00", 1, []))
        restaurant.refresh(mode)
        assert (f"new {mode}", None, "behaviour") in {(row[0], row[1], row[3]) for row in reader.follow()}
        assert reader.segments == reader.published()
    plans = "SELECT plan FROM analytics_runs WHERE kind = 'rfm' AND mode = 'full' ORDER BY generation DESC LIMIT 1"
    assert read(restaurant.url, plans).plan[0]["baseline"]["by_shard"] == (collation == "default")
    restaurant.rules = replace(restaurant.rules, top_n=10)
    settings = make_settings(restaurant.url, restaurant.home, TIMEZONE="Europe/London", RFM_LOOKBACK_DAYS="4")
    run_inline(settings, "rfm", at=restaurant.now, mode="incremental")
    assert {reason for *_, reason in reader.follow()} == {"settings"}
    assert reader.segments == reader.published()


def test_own_rules_hold_in_refreshes_and_a_changed_one_computes_everything_again(restaurant: Restaurant) -> None:
    reader = Reader(restaurant.url)
    own = {"frequency": [Decimal(cut) for cut in (0, 1, 3, 7)], "monetary": [Decimal(cut) for cut in (1, 2, 3, "4.5")]}
    changed = [
        {"own_cut_points": own},
        {"average": True},
        {"excluded": frozenset({"c1", "c9", "nobody"})},
        {"own_cut_points": {}},
        {"excluded": frozenset({"c9"})},
    ]
    for number, rule in enumerate(changed):
        restaurant.rules = replace(restaurant.rules, **rule)
        assert "full" in restaurant.refresh()
        restaurant.check()
        told = reader.follow()
        assert told and {reason for *_, reason in told} == {"settings"}, rule
        for visit in range(3):
            put(restaurant, 2000 + 10 * number + visit, (f"c{number + 1}", "9.00", visit, [1]))
            put(restaurant, 2005 + 10 * number + visit, ("c9", "9.00", visit, [1]))
        assert restaurant.refresh() == {"incremental"}
        restaurant.check()
        assert "settings" not in {reason for *_, reason in reader.follow()}
        assert reader.segments == reader.published()


def test_menu_rules_hold_in_refreshes_and_a_changed_one_computes_everything_again(restaurant: Restaurant) -> None:
    costs = {1: Decimal("0.305"), 2: Decimal("2.5"), 4: Decimal("1.0001")}
    changed: list[dict[str, Any]] = [
        {"rank_by": "margin"},
        {"costs": costs},
        {"costs": costs | {2: Decimal("0.1")}},  # costs in the CRM, not a setting
        {"min_orders": 4, "excluded_items": frozenset({2})},
        {"rank_by": "revenue"},
        {"rank_by": "quantity", "min_orders": 1, "excluded_items": frozenset()},
    ]
    for number, rule in enumerate(changed):
        restaurant.set_menu(**rule)
        assert "full" in restaurant.refresh()
        restaurant.check()
        for visit in range(3):
            put(restaurant, 2000 + 10 * number + visit, ("c3", "9.00", 1440 * number + visit, [1, 2, 4 + visit % 2]))
        assert restaurant.refresh() == {"incremental"}
        restaurant.check()
    restaurant.set_menu(costs=dict.fromkeys(costs, Decimal(9)))  # costs without effect on ranks
    assert restaurant.refresh() == {"incremental"}


def test_a_forgotten_customer_is_in_no_plan(restaurant: Restaurant) -> None:
    restaurant.rules = replace(restaurant.rules, excluded=frozenset({"c1", "c2"}))
    restaurant.refresh()
    plans = "SELECT plan -> 'excluded' AS ids FROM analytics_runs WHERE plan ? 'excluded'"
    assert read(restaurant.url, plans).ids.tolist() == [["c1", "c2"]]
    with transaction(restaurant.url) as session:
        upkeep.forget(session, "c1")
    assert read(restaurant.url, plans).ids.tolist() == [["c2"]]


def test_old_changes_are_dropped_and_a_cursor_before_them_is_known_to_be_too_old(restaurant: Restaurant) -> None:
    put(restaurant, 2000, ("new", "5.00", 1, []))
    restaurant.refresh()
    with transaction(restaurant.url) as session:
        told = results.changes_after(session, None, 1000)
        assert told
        session.execute(Change.__table__.update().values(changed_at=Change.changed_at - timedelta(days=91)))  # type: ignore[attr-defined]
        changes.drop_old(session)
    put(restaurant, 2010, ("newer", "5.00", 1, []))
    restaurant.refresh()
    with transaction(restaurant.url) as session:
        assert results.changes_after(session, told[0].change_id - 1, 10) is None
        later = results.changes_after(session, told[-1].change_id, 1000)
        assert later and later == results.changes_after(session, None, 1000)


def test_an_incremental_run_that_fails_in_the_middle_leaves_everything_as_it_was(restaurant: Restaurant) -> None:
    before = rfm_segments(restaurant.url)
    put(restaurant, 2000, ("c1", "90.00", 1, []))
    with psycopg.connect(restaurant.url) as connection:
        connection.execute("ALTER TABLE segment_changes ADD CONSTRAINT never CHECK (false)")
    failed = run_inline(restaurant.settings, "rfm", at=restaurant.now, mode="incremental").run
    assert failed.status == "failed" and failed.error_code == "internal_error"
    pd.testing.assert_frame_equal(rfm_segments(restaurant.url), before)
    with psycopg.connect(restaurant.url) as connection:
        connection.execute("ALTER TABLE segment_changes DROP CONSTRAINT never")
    assert restaurant.refresh() == {"incremental"}
    restaurant.check()


def test_an_order_without_a_sensible_date_is_tallied_with_all_of_its_kind(restaurant: Restaurant) -> None:
    for number, at in ((1, datetime(2, 1, 5, tzinfo=UTC)), (2, datetime(1899, 12, 31, 23, tzinfo=UTC))):
        restaurant.sell(number, f"old {number}", "5.00", at, 4)
        assert restaurant.refresh(named=(number, number)) == {"incremental"}
        restaurant.check()


def test_weighed_goods_are_refreshed_exactly_and_another_type_of_quantity_makes_the_next_run_full(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(touched, "OVERLAP_ROWS", 2)
    restaurant = Restaurant(migrated_url, tmp_path, quantity="numeric")
    restaurant.open()
    for number in range(40):
        restaurant.sell(number, f"c{number % 7}", "10.00", EVENING - timedelta(days=number), number % 5, number % 3)
    assert restaurant.refresh() == {"full"}
    for number in range(100, 103):
        restaurant.now += timedelta(minutes=5)
        restaurant.sell(number, "c1", "10.00", restaurant.now - timedelta(minutes=number), 2, 4)
        assert restaurant.refresh() == {"incremental"}
        restaurant.check()
    assert any(quantity % 1 for quantity in menu_recommendation(migrated_url).quantity)
    run = run_inline(restaurant.settings, "menu", at=restaurant.now, mode="incremental", named_ids=(0, 3)).run
    assert run.counts is not None and run.mode == "incremental" and run.counts["rounded_lines"] > 0
    with psycopg.connect(migrated_url) as connection:
        connection.execute("ALTER TABLE fact_transaction_items ALTER quantity TYPE int USING ceil(quantity)")
    restaurant.lines = {number: (*line[:2], math.ceil(line[2]), line[3]) for number, line in restaurant.lines.items()}
    run = run_inline(restaurant.settings, "menu", at=restaurant.now, mode="incremental").run
    assert run.mode == "full"
    restaurant.check()
