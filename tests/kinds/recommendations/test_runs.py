"""Runs of recommendations: exact for any division of the work, incremental equal to full, removed with the customer;
long, since all cases share their restaurants.
"""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics.recommendations.parameters import Parameters
from errors import UnavailableError
from kinds import upkeep
from kinds.base import RowsLostError
from kinds.recommendations import encoding, plan, results
from source import ranges, touched, visits
from store import inbox
from store.database import snapshot, transaction
from store.models import Run
from store.published import published
from tests.analytics.recommendations.plain import Plain, Visit
from tests.books import Restaurant
from tests.builders import Case, cases
from tests.kinds.recommendations.states import KIND, canonical, histories, run
from tests.kinds.test_exactness import put, settings_for
from tests.kinds.test_interleavings import assert_forgotten
from tests.system import do_part, finish_inline, read, run_inline
from worker import steering

DATABASE_TEST = hypothesis_settings(
    max_examples=8,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the number of ranges and shards of runs."""

    def divide(count: int, block: int = 500_000) -> None:
        monkeypatch.setattr(plan, "default_ranges", lambda *_, **__: count)
        monkeypatch.setattr(ranges, "default_ranges", lambda *_, **__: count)
        monkeypatch.setattr(visits, "BLOCK", block)

    return divide


@pytest.mark.parametrize("examples", [2, pytest.param(30, marks=pytest.mark.long)])
def test_lists_are_those_of_the_formulas_for_any_restaurant(migrated_url: str, tmp_path: Path, examples: int) -> None:
    @hypothesis_settings(DATABASE_TEST, max_examples=examples)
    @given(case=cases(), quantity=st.sampled_from(["int", "numeric"]))
    def check(case: Case, quantity: str) -> None:
        rules = replace(case.rules, menu_lookback_days=0)
        put(migrated_url, replace(case, rules=rules), quantity=quantity)
        settings = settings_for(migrated_url, tmp_path, rules)
        with psycopg.connect(migrated_url) as connection:
            connection.execute(
                "INSERT INTO dim_menu_items (item_id) SELECT item_id FROM fact_transaction_items"
                " WHERE item_id IS NOT NULL EXCEPT SELECT item_id FROM dim_menu_items"
            )
        run(settings, as_of=rules.as_of)
        known, guests = histories(case.transactions, case.items, rules)
        ids = sorted({item for each in [*known.values(), guests] for visit in each for item in visit.items})

        def coded(history: list[Visit]) -> list[Visit]:
            return [replace(v, items=frozenset(ids.index(item) for item in v.items)) for v in history]

        dayparts = len(rules.dayparts or ())
        plain = Plain([coded(each) for each in known.values()], coded(guests), Parameters(), len(ids), dayparts + 1)
        with snapshot(migrated_url) as session:
            state = published(session, KIND)
            assert state is not None
            for daypart in [*results.dayparts(state), None]:
                made = results.rankings(session, state, list(known), daypart, limit=100, mode="personal")
                for ranking, history in zip(made, known.values(), strict=True):
                    expected = plain.scores(coded(history), daypart.place if daypart else None)
                    found = {item.item_id: item.score for item in ranking.items}
                    assert found == pytest.approx(dict(zip(ids, expected, strict=True)), abs=1e-4)
                    assert [item.score for item in ranking.items] == sorted(found.values(), reverse=True)
                    for item in ranking.items:
                        times = [v for v in history if item.item_id in v.items]
                        assert (item.reason.kind == "ordered") == bool(times)
                        if times:
                            assert item.reason.orders == len(times)

    check()


@pytest.mark.parametrize(
    ("examples", "divisions"),
    [
        (1, [(1, 500_000), (7, 3)]),
        pytest.param(8, [(1, 500_000), (2, 3), (7, 500_000), (16, 1)], marks=pytest.mark.long),
    ],
)
def test_no_division_of_the_work_shows(
    migrated_url: str, tmp_path: Path, divided: Any, examples: int, divisions: list[tuple[int, int]]
) -> None:
    @hypothesis_settings(DATABASE_TEST, max_examples=examples)
    @given(case=cases(), seed=st.integers(0, 1000))
    def check(case: Case, seed: int) -> None:
        seen = []
        for shards, block in divisions:
            divided(shards, block)
            mixed = replace(case, transactions=case.transactions.sample(frac=1, random_state=seed + shards))
            put(migrated_url, mixed)
            settings = settings_for(migrated_url, tmp_path, case.rules)
            run_inline(settings, "rfm", as_of=case.rules.as_of)
            run(settings, as_of=case.rules.as_of)
            seen.append(canonical(settings))
        assert all(each == seen[0] for each in seen)

    check()


CUSTOMERS = st.sampled_from(["anna", "bert", "cleo", "dora", "emil", None])
ORDERS = st.tuples(
    CUSTOMERS, st.sampled_from(["10.00", "3", "0.004"]), st.integers(0, 4000), st.lists(st.integers(1, 6), max_size=4)
)
EDITS = st.tuples(st.sampled_from(["customer", "time", "delete", "lines"]), st.integers(0, 30), ORDERS)


def sell(restaurant: Restaurant, number: int, row: tuple[Any, ...]) -> None:
    customer, amount, minutes, dishes = row
    restaurant.sell(number, customer, amount, restaurant.now - timedelta(minutes=minutes), *dishes)


def edit(restaurant: Restaurant, change: tuple[Any, ...]) -> int | None:
    what, place, row = change
    numbers = sorted(restaurant.sold)
    if not numbers:
        return None
    number = numbers[place % len(numbers)]
    _, customer, amount, at = restaurant.sold[number]
    match what:
        case "customer":
            restaurant.sell(number, row[0], amount, at)
        case "time":
            restaurant.sell(number, customer, amount, restaurant.now - timedelta(minutes=row[2]))
        case "delete":
            restaurant.remove(lambda each, _: each == number)
        case "lines":
            restaurant.sell(number, customer, amount, at, *row[3])
    return number


def both(restaurant: Restaurant, mode: str = "incremental", named: tuple[int, int] | None = None) -> str:
    run_inline(restaurant.settings, "rfm", at=restaurant.now, mode=mode, named_ids=named)
    return run(restaurant.settings, at=restaurant.now, mode=mode, named_ids=named)


@pytest.mark.parametrize("examples", [2, pytest.param(15, marks=pytest.mark.long)])
def test_after_any_imports_edits_and_erasures_the_state_is_that_of_a_full_run(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    monkeypatch.setattr(touched, "OVERLAP_ROWS", 4)
    modes: list[str] = []

    @hypothesis_settings(DATABASE_TEST, max_examples=examples)
    @given(
        start=st.lists(ORDERS, min_size=8, max_size=20),
        steps=st.lists(
            st.tuples(st.lists(ORDERS, max_size=4), st.lists(EDITS, max_size=2), st.booleans()), min_size=1, max_size=3
        ),
    )
    def check(start: list[Any], steps: list[Any]) -> None:
        restaurant = Restaurant(migrated_url, tmp_path)
        with psycopg.connect(migrated_url) as connection:
            connection.execute("TRUNCATE analytics_published, segment_changes")
        restaurant.open()
        for dish in range(1, 6):
            restaurant.name(dish, f"Dish {dish}", "Mains")
        for place, row in enumerate(start):
            sell(restaurant, 100 + place, row)
        both(restaurant)
        for orders, edits, erased in steps:
            restaurant.now += timedelta(minutes=5)
            newest = max(restaurant.sold, default=100)
            for place, row in enumerate(orders, 1):
                sell(restaurant, newest + place, row)
            # Old rows are named; those among the newest need not be.
            settled = sorted(restaurant.sold)[:-4] if len(restaurant.sold) > 4 else []
            named = [number for change in edits if (number := edit(restaurant, change)) in settled]
            if erased:
                with transaction(migrated_url) as session:
                    upkeep.forget(session, "anna")
                assert_forgotten(migrated_url, "anna")
                named += [number for number, (_, customer, *_) in restaurant.sold.items() if customer == "anna"]
                restaurant.remove(lambda _, customer: customer == "anna")
            modes.append(both(restaurant, named=(min(named), max(named)) if named else None))
            once = canonical(restaurant.settings)
            both(restaurant, mode="full")
            assert once == canonical(restaurant.settings)

    check()
    assert examples < 10 or "incremental" in modes


def test_an_import_of_new_items_and_customers_is_incremental_and_counts(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(touched, "OVERLAP_ROWS", 2)
    restaurant = Restaurant(migrated_url, tmp_path)
    restaurant.open()
    for dish in (1, 2, 9):
        restaurant.name(dish, f"Dish {dish}", "Mains")
    for number in range(40):
        sell(restaurant, 100 + number, (f"c{number % 8}", "10.00", 3000 - number, [1 + number % 2]))
    assert both(restaurant) == "train"
    restaurant.now += timedelta(minutes=5)
    sell(restaurant, 500, ("c3", "10.00", 1, [9]))
    sell(restaurant, 501, ("new", "10.00", 1, [9, 1]))
    assert both(restaurant) == "incremental"
    with snapshot(migrated_url) as session:
        state = published(session, KIND)
        assert state is not None
        ids = ["c3", "new", "nobody"]
        lists = results.rankings(session, state, ids, None, limit=9, mode="personal")
        made = dict(zip(ids, lists, strict=True))
    reasons = {item.item_id: item.reason for item in made["new"].items}
    assert (reasons[9].kind, reasons[9].orders, reasons[1].kind, reasons[2].kind) == (
        "ordered",
        1,
        "ordered",
        "popular",
    )
    assert {item.item_id: item.name for item in made["c3"].items}[9] == "Dish 9"
    assert made["nobody"].method == "global" and [item.item_id for item in made["nobody"].items] == [1, 2, 9]
    restaurant.remove(lambda number, _: number >= 500)
    assert both(restaurant, named=(500, 501)) == "incremental"
    with snapshot(migrated_url) as session:
        state = published(session, KIND)
        assert state is not None
        (now,) = results.rankings(session, state, ["nobody"], None, limit=9, mode="personal")
    assert [item.item_id for item in now.items] == [1, 2], "nobody has ordered dish 9 any more"


@pytest.fixture
def newest(migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Restaurant:
    """Ten customers with four orders each; a refresh looks at the ten newest orders again."""
    monkeypatch.setattr(touched, "OVERLAP_ROWS", 10)
    restaurant = Restaurant(migrated_url, tmp_path)
    restaurant.open()
    for dish in (1, 2, 3):
        restaurant.name(dish, f"Dish {dish}", "Mains")
    for number in range(40):
        sell(restaurant, 100 + 2 * number, (f"c{number % 10}", "10.00", 3000 - number, [1 + number % 2]))
    both(restaurant)
    return restaurant


def touched_customers(restaurant: Restaurant) -> int:
    """How many a refresh reads; what it publishes has to equal what a full run does."""
    restaurant.now += timedelta(minutes=1)
    assert both(restaurant) == "incremental"
    counts = read(
        restaurant.url, "SELECT counts FROM analytics_runs WHERE kind = 'recommendations' ORDER BY generation"
    )
    once = canonical(restaurant.settings)
    run(restaurant.settings, at=restaurant.now, mode="full")  # with the same segments
    assert once == canonical(restaurant.settings)
    return int(counts["counts"].iloc[-1]["touched_customers"])


def test_a_refresh_reads_customers_of_the_newest_orders_again_only_if_one_has_changed(newest: Restaurant) -> None:
    sell(newest, 500, ("c1", "10.00", 0, [2]))
    assert touched_customers(newest) == 1
    sell(newest, 499, ("c2", "10.00", 0, [3]))  # committed late
    assert touched_customers(newest) > 5
    both(newest)
    assert touched_customers(newest) == 0, "nor if a refresh has read them"
    for change in (("customer", 40, ("c3",)), ("time", 40, (None, None, 9000)), ("lines", 41, (None,) * 3 + ([3, 1],))):
        edit(newest, change)
        assert touched_customers(newest) > 5, change
    with psycopg.connect(newest.url) as connection:
        connection.execute("UPDATE fact_transaction_items SET quantity = 0 WHERE transaction_id = 500")
    newest.lines = {key: (*row[:2], 0, row[3]) if row[0] == 500 else row for key, row in newest.lines.items()}
    assert touched_customers(newest) > 5
    edit(newest, ("delete", 41, ()))
    assert touched_customers(newest) > 5
    sell(newest, 600, ("c4", "10.00", -3, [2]))  # in three minutes
    assert [touched_customers(newest) for _ in range(3)] == [1, 0, 1]


def test_orders_that_change_while_a_refresh_is_planned_have_it_planned_again(
    newest: Restaurant, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell(newest, 500, ("c1", "10.00", 0, [2]))
    with transaction(newest.url) as session:
        asked = inbox.request(session, [KIND], mode="incremental")[0]
        asked.as_of = newest.now
    planned = touched.day_buckets

    def change(*given: Any) -> list[str]:
        monkeypatch.setattr(touched, "day_buckets", planned)
        edit(newest, ("customer", 39, ("c3",)))
        return planned(*given)

    monkeypatch.setattr(touched, "day_buckets", change)
    with pytest.raises(UnavailableError):
        steering.advance(newest.settings, asked.run_id)
    assert finish_inline(newest.settings, asked.run_id).run.mode == "incremental"
    once = canonical(newest.settings)
    run(newest.settings, at=newest.now, mode="full")  # with the same segments
    assert once == canonical(newest.settings)


@pytest.fixture
def small(migrated_url: str, tmp_path: Path) -> Restaurant:
    """With published recommendations of twenty orders."""
    restaurant = Restaurant(migrated_url, tmp_path)
    restaurant.open()
    restaurant.name(1, "Soup", "Starters")
    for number in range(20):
        sell(restaurant, number, (f"c{number % 4}", "10.00", number, [1, 2]))
    both(restaurant, "full")
    return restaurant


def begun(restaurant: Restaurant) -> Run:
    """A full run of the same orders, requested."""
    with transaction(restaurant.url) as session:
        asked = inbox.request(session, [KIND])[0]
        asked.as_of = restaurant.now
    return asked


def up_to(restaurant: Restaurant, asked: Run, stage: str) -> list[tuple[str, int]]:
    """Work until a stage begins; returns its parts."""
    while (parts := steering.advance(restaurant.settings, asked.run_id)) and parts[0][0] != stage:
        for part in parts:
            do_part(restaurant.settings, asked.run_id, *part)
    return parts


def test_a_crash_that_empties_unlogged_tables_has_them_read_again(small: Restaurant) -> None:
    expected, asked = canonical(small.settings), begun(small)
    for lost_before in ("backtest", "profile"):
        parts = up_to(small, asked, lost_before)
        with psycopg.connect(small.url) as connection:
            for table in ("visits", "customers"):
                connection.execute(f"TRUNCATE recommendation_{table}_g{asked.generation}")
        for part in parts:
            with pytest.raises(RowsLostError):
                do_part(small.settings, asked.run_id, *part)
    assert finish_inline(small.settings, asked.run_id).run.status == "succeeded"
    assert canonical(small.settings) == expected


def as_stored_before(data: bytes) -> bytes:
    """Staged visits or segments in NumPy's format, with each customer's id once in a block of visits."""
    found = encoding.from_bytes(data)
    if "instant" in found:
        names = encoding.texts_of(found["names"].tobytes(), found["name_lengths"]).dictionary_encode()
        found |= encoding.texts(names.dictionary) | {"customer": names.indices.to_numpy()}
    file = io.BytesIO()
    np.savez(file, **found)  # type: ignore[arg-type]  # by name
    return file.getvalue()


def test_a_run_that_an_older_version_has_begun_goes_on(small: Restaurant) -> None:
    expected, asked = canonical(small.settings), begun(small)
    parts = up_to(small, asked, "profile")
    with psycopg.connect(small.url) as connection:
        for table in ("visits", "customers"):
            name = f"recommendation_{table}_g{asked.generation}"
            rows = connection.execute(f"SELECT ctid::text, data FROM {name}").fetchall()  # type: ignore[arg-type]
            assert rows
            for ctid, data in rows:
                connection.execute(
                    f"UPDATE {name} SET data = %s WHERE ctid = %s::tid",  # type: ignore[arg-type]
                    (as_stored_before(data), ctid),
                )
    for part in parts:
        do_part(small.settings, asked.run_id, *part)
    assert finish_inline(small.settings, asked.run_id).run.status == "succeeded"
    assert canonical(small.settings) == expected


def test_quality_says_not_enough_data_and_publishes_what_is_popular(migrated_url: str, tmp_path: Path) -> None:
    restaurant = Restaurant(migrated_url, tmp_path)
    restaurant.open()
    sell(restaurant, 1, ("anna", "10.00", 5, [1]))
    both(restaurant)
    found = read(migrated_url, "SELECT method, customers, published FROM recommendation_quality ORDER BY 1")
    assert found.values.tolist() == [["daypart", 0, False], ["global", 0, True], ["personal", 0, False]]
    models = read(migrated_url, "SELECT version, status, decision FROM analytics_models")
    assert models.values.tolist() == [[1, "champion", "It is the first version."]]
    assert isinstance(found, pd.DataFrame)
