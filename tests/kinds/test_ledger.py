"""The ledger stores what was last read of the newest rows, so that the next run corrects any later change."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from errors import UnavailableError
from kinds import upkeep
from settings import Settings
from source import touched
from store import inbox, ledger, runs
from store.database import transaction
from tests.books import Restaurant
from tests.system import do_part, finish_inline, read, rfm_segments, run_inline, state
from worker import steering

KINDS = ("rfm", "menu")


# A part reads the newest rows by one statement where the orders are in our database, and by two connections elsewhere.
BOTH = pytest.mark.parametrize("restaurant", ["ours", "elsewhere"], indirect=True)


@pytest.fixture
def restaurant(
    migrated_url: str,
    other_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Restaurant:
    """Twenty customers with one order each, numbered from 1000; every run reads the newest five again."""
    monkeypatch.setattr(touched, "OVERLAP_ROWS", 5)
    elsewhere = getattr(request, "param", "ours") == "elsewhere"
    opened = Restaurant(migrated_url, tmp_path, other_database_url if elsewhere else "")
    opened.open()
    for place in range(20):
        opened.sell(1000 + place, f"c{place}", f"{5 + place}.00", ago(opened, days=1 + place % 3), place % 3)
    return opened


def ago(restaurant: Restaurant, **passed: int) -> Any:
    return restaurant.now - timedelta(**passed)


def orders_of(restaurant: Restaurant) -> dict[str, int]:
    return dict(rfm_segments(restaurant.url)[["mobile_id", "frequency"]].itertuples(index=False))


def last_plans(restaurant: Restaurant) -> list[dict[str, Any]]:
    """The plans of the last run of each kind."""
    query = "SELECT DISTINCT ON (kind) plan FROM analytics_runs WHERE plan IS NOT NULL ORDER BY kind, generation DESC"
    return list(read(restaurant.url, query).plan)


def everything(restaurant: Restaurant) -> list[bool]:
    return [plan["recompute_all"] for plan in last_plans(restaurant)]


def start(restaurant: Restaurant, mode: str = "full") -> list[tuple[Any, list[tuple[str, int]]]]:
    """Plan a run of each kind; returns their ids and their parts."""
    planned = []
    for kind in KINDS:
        with transaction(restaurant.url) as session:
            run = inbox.request(session, [kind], mode=mode)[0]
            run.as_of = restaurant.now
        planned.append((run.run_id, steering.advance(restaurant.settings, run.run_id)))
    return planned


def complete(settings: Settings, planned: list[tuple[Any, list[tuple[str, int]]]]) -> None:
    for run_id, parts in planned:
        for part in parts:
            do_part(settings, run_id, *part)
        assert finish_inline(settings, run_id).run.status == "succeeded"


@BOTH
def test_another_imports_run_may_come_between_an_edit_and_the_webhook_that_names_it(restaurant: Restaurant) -> None:
    restaurant.sell(4999, "A", "10.00", ago(restaurant, hours=3), 1)
    restaurant.sell(5000, "A", "10.00", ago(restaurant, hours=2), 1)
    restaurant.sell(5001, "D", "10.00", ago(restaurant, hours=9), 2)
    assert restaurant.refresh("full") == {"full"}
    assert orders_of(restaurant)["A"] == 2

    restaurant.sell(5000, "B", "10.00", ago(restaurant, hours=2))
    restaurant.remove(lambda number, _: number == 5001)
    restaurant.sell(5002, "E", "10.00", ago(restaurant, minutes=1), 1)
    assert restaurant.refresh() == {"incremental"}
    restaurant.check()  # correct without being named
    restaurant.refresh(named=(5000, 5001))
    restaurant.check()
    found = orders_of(restaurant)
    assert (found["A"], found["B"], found.get("D")) == (1, 1, None)
    assert everything(restaurant) == [False, False]  # and with few parts


@BOTH
def test_an_order_that_is_read_above_all_ids_of_the_plan_may_change_its_customer(restaurant: Restaurant) -> None:
    restaurant.sell(2000, "A", "10.00", ago(restaurant, days=1), 1)
    planned = start(restaurant)
    restaurant.sell(7000, "A", "10.00", ago(restaurant, hours=1), 2)
    complete(restaurant.settings, planned)
    assert orders_of(restaurant)["A"] == 2

    restaurant.sell(7000, "B", "10.00", ago(restaurant, days=2))
    restaurant.refresh(named=(7000, 7000))
    restaurant.check()
    assert (orders_of(restaurant)["A"], orders_of(restaurant)["B"]) == (1, 1)


@BOTH
def test_an_order_may_change_its_customer_between_two_shards_and_be_counted_twice(restaurant: Restaurant) -> None:
    """Until the next run, which has both parts' ledgers."""
    restaurant.sell(5000, "a", "10.00", ago(restaurant, hours=2), 1)
    (rfm, parts), menu = start(restaurant)
    assert len(parts) == 3
    do_part(restaurant.settings, rfm, *parts[0])
    restaurant.sell(5000, "z", "10.00", ago(restaurant, hours=2))
    complete(restaurant.settings, [(rfm, parts[1:]), menu])
    assert (orders_of(restaurant)["a"], orders_of(restaurant)["z"]) == (1, 1)
    restaurant.refresh()
    restaurant.check()


def test_rows_that_were_settled_stay_so_when_the_newest_ones_go(restaurant: Restaurant) -> None:
    restaurant.refresh("full")
    restaurant.sell(1013, "B", "18.00", ago(restaurant, days=2))  # c13's, below the newest, and not named yet
    restaurant.remove(lambda number, _: number > 1014)
    restaurant.refresh()
    restaurant.refresh(named=(1013, 1013))
    assert everything(restaurant) == [True, True]
    restaurant.check()


def test_more_newest_rows_than_are_kept_have_everything_read_anew_once(
    restaurant: Restaurant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(touched, "LEDGER_ROWS", 7)
    planned = start(restaurant)
    for number in range(2000, 2010):
        restaurant.sell(number, f"d{number}", "10.00", ago(restaurant, hours=1), 1)
    complete(restaurant.settings, planned)
    restaurant.sell(2005, "B", "10.00", ago(restaurant, hours=1))
    for unknown in (True, False):
        assert restaurant.refresh() == {"incremental"}
        assert everything(restaurant) == [unknown, unknown]
        restaurant.check()


@pytest.mark.parametrize(
    "lost", ["DELETE FROM analytics_ledger", "UPDATE analytics_ledger SET keys = NULL WHERE part = 0"]
)
def test_what_an_older_version_published_or_one_of_its_workers_read_has_everything_read_anew_once(
    restaurant: Restaurant, lost: str
) -> None:
    restaurant.refresh("full")
    restaurant.sell(1019, "B", "10.00", ago(restaurant, days=9))
    restaurant.refresh()
    restaurant.sell(1018, "B", "10.00", ago(restaurant, days=9))
    with psycopg.connect(restaurant.url) as connection:
        connection.execute(lost)  # type: ignore[arg-type]
    for unknown in (True, False):
        assert restaurant.refresh() == {"incremental"}
        assert everything(restaurant) == [unknown, unknown]
        restaurant.check()


def touched_customers(restaurant: Restaurant) -> int:
    """How many customers the next refresh reads; what it publishes has to be right."""
    restaurant.now += timedelta(minutes=1)
    run = run_inline(restaurant.settings, "rfm", at=restaurant.now, mode="incremental").run
    assert (run.status, run.mode) == ("succeeded", "incremental"), run.error
    assert run_inline(restaurant.settings, "menu", at=restaurant.now, mode="incremental").run.status == "succeeded"
    restaurant.check()
    assert run.counts is not None
    return int(run.counts["touched_customers"])


@BOTH
def test_a_refresh_reads_customers_of_the_newest_orders_again_only_if_one_has_changed(restaurant: Restaurant) -> None:
    restaurant.refresh("full")
    assert touched_customers(restaurant) == 0
    restaurant.sell(2000, "c1", "10.00", ago(restaurant, hours=1), 1)
    assert touched_customers(restaurant) == 1
    restaurant.sell(1999, "c2", "10.00", ago(restaurant, hours=1), 1)  # committed late
    assert touched_customers(restaurant) > 3
    restaurant.sell(1018, "c3", "10.00", ago(restaurant, days=1))  # c18's, of whom no order is left
    assert touched_customers(restaurant) > 3
    for change in ({"amount": "11.00"}, {"at": ago(restaurant, days=3)}, {"customer": None}):
        number, customer, amount, at = restaurant.sold[2000]
        restaurant.sell(number, **({"customer": customer, "amount": amount, "at": at} | change))
        assert touched_customers(restaurant) > 3, change
    restaurant.sell(2001, None, "10.00", ago(restaurant, hours=1), 1)  # a guest's
    assert touched_customers(restaurant) == 0
    restaurant.remove(lambda number, _: number == 1999)
    assert touched_customers(restaurant) > 2
    restaurant.sell(2002, "c4", "10.00", restaurant.now + timedelta(minutes=3), 1)  # in three minutes
    assert [touched_customers(restaurant) for _ in range(3)] == [1, 0, 1]
    restaurant.remove(lambda number, _: number < 1017)  # not named, and fewer are left than a refresh reads again
    assert run_inline(restaurant.settings, "rfm", at=restaurant.now, mode="incremental").run.status == "succeeded"


def test_orders_that_change_while_a_refresh_is_planned_have_it_planned_again(
    restaurant: Restaurant, monkeypatch: pytest.MonkeyPatch
) -> None:
    restaurant.refresh("full")
    restaurant.sell(2000, "c1", "10.00", ago(restaurant, hours=1), 1)
    with transaction(restaurant.url) as session:
        asked = inbox.request(session, ["rfm"], mode="incremental")[0]
        asked.as_of = restaurant.now
    planned = touched.unchanged

    def change(*given: Any, **how: Any) -> Any:
        monkeypatch.setattr(touched, "unchanged", planned)
        found = planned(*given, **how)
        restaurant.sell(1018, "c3", "10.00", ago(restaurant, days=1))
        return found

    monkeypatch.setattr(touched, "unchanged", change)
    with pytest.raises(UnavailableError):
        steering.advance(restaurant.settings, asked.run_id)
    assert finish_inline(restaurant.settings, asked.run_id).run.mode == "incremental"
    assert restaurant.refresh() == {"incremental"}
    restaurant.check()


def test_a_run_without_a_day_to_count_has_read_the_newest_rows_all_the_same(restaurant: Restaurant) -> None:
    for place in range(15, 20):
        restaurant.sell(1000 + place, f"c{place}", "5.00", restaurant.now + timedelta(days=3), 1)
    restaurant.refresh("full")
    for _ in range(2):
        assert restaurant.refresh() == {"incremental"}
        assert everything(restaurant) == [False, False]
    restaurant.check()


def test_the_ledger_is_of_the_published_run_alone_and_small(restaurant: Restaurant) -> None:
    restaurant.refresh("full")
    restaurant.refresh()
    planned = start(restaurant)
    for run_id, parts in planned:
        do_part(restaurant.settings, run_id, *parts[0])
        steering.fail(restaurant.settings, run_id, "test", "It failed.")
        upkeep.clear(restaurant.url)
    held = read(
        restaurant.url,
        "SELECT kind, cardinality(keys) AS keys FROM analytics_ledger JOIN analytics_runs"
        " USING (kind, generation) JOIN analytics_published USING (kind, run_id) ORDER BY kind",
    )
    assert held.kind.tolist() == ["menu", "rfm"] and held["keys"].tolist() == [3, 5]
    assert len(read(restaurant.url, "SELECT FROM analytics_ledger")) == 2


def test_a_customer_who_is_forgotten_is_in_no_ledger(restaurant: Restaurant) -> None:
    restaurant.refresh("full")
    with transaction(restaurant.url) as session:
        number = runs.published_run(session, "rfm").generation
        assert "c19" in ledger.keys(session, number)
        assert upkeep.forget(session, "c19") == 2
        assert "c19" not in ledger.keys(session, number) and "c18" in ledger.keys(session, number)


def test_a_new_name_reaches_every_daypart_with_the_next_run(restaurant: Restaurant) -> None:
    for dish in range(3):
        restaurant.name(dish, f"Dish {dish}", "Mains")
    for hour in range(12):
        restaurant.sell(3000 + hour, "A", "10.00", ago(restaurant, days=2, hours=2 * hour), 1, 2)
    restaurant.refresh("full")
    restaurant.check_names()
    run_ids = read(restaurant.url, "SELECT DISTINCT run_id FROM menu_recommendation")
    assert len(read(restaurant.url, "SELECT DISTINCT daytime_id FROM menu_recommendation WHERE menu_item_id = 1")) > 8

    restaurant.name(1, "Soup of the day", "Soups")
    restaurant.name(2, None, None)
    assert restaurant.refresh() == {"incremental"}
    restaurant.check_names()
    assert read(restaurant.url, "SELECT DISTINCT run_id FROM menu_recommendation").equals(
        run_ids
    )  # no rank has changed

    (rfm, shards), (menu, chunks) = start(restaurant)
    for part in chunks:
        do_part(restaurant.settings, menu, *part)
    ranks = steering.advance(restaurant.settings, menu)
    for place, part in enumerate(ranks):
        restaurant.name(1, f"Soup {place}", "Soups")  # while the dayparts are ranked
        do_part(restaurant.settings, menu, *part)
    complete(restaurant.settings, [(rfm, shards)])
    assert finish_inline(restaurant.settings, menu).run.status == "succeeded"
    restaurant.check_names()
    assert state(restaurant.settings, menu).run.mode == "full"
