"""Series, hours and cohorts equal the oracle's on small restaurants drawn from what goes wrong in real ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from source import orders
from tests.builders import Case, cases
from tests.kinds.trends.checks import check_counts
from tests.system import fill, make_settings, run_inline

CATEGORIES = {1: "Hot", 2: None}  # and no item 3
DATABASE_TEST = hypothesis_settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def menu() -> pd.DataFrame:
    rows = [(item, f"Dish {item}", category) for item, category in CATEGORIES.items()]
    return pd.DataFrame(rows, columns=["item_id", "menu_item_name", "category"], dtype=object)


def dayparts(case: Case) -> pd.DataFrame:
    columns = ["daytime_id", "daytime_label", "start_time", "end_time"]
    rows = [(number, f"part {number}", start, end) for number, start, end in case.rules.dayparts or ()]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def put(url: str, case: Case, amount: str = "numeric", quantity: str = "int") -> None:
    tables = {
        "fact_transactions": case.transactions,
        "fact_transaction_items": case.items,
        "dim_menu_items": menu(),
        "dim_menu_daytimes": dayparts(case),
    }
    fill(url, tables, amount=amount, quantity=quantity)


def check(url: str, home: Path, case: Case) -> None:
    settings = make_settings(
        url,
        home,
        TIMEZONE=case.rules.timezone,
        BUSINESS_DAY_START=case.rules.business_day_start.isoformat("minutes"),
    )
    run = run_inline(settings, "trends", as_of=case.rules.as_of).run
    assert run.status == "succeeded", run.error
    check_counts(url, case.transactions, case.items, case.rules, CATEGORIES)


def test_any_restaurant_is_counted_as_the_contract_says(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @DATABASE_TEST
    @given(case=cases(), rows=st.sampled_from([2, 250_000]), amount=st.sampled_from(["numeric", "float8"]))
    def any_restaurant(case: Case, rows: int, amount: str) -> None:
        monkeypatch.setattr(orders, "BLOCK", rows)
        put(migrated_url, case, amount)
        check(migrated_url, tmp_path, case)

    any_restaurant()


def test_weighed_goods_are_counted_too(migrated_url: str, tmp_path: Path) -> None:
    @hypothesis_settings(DATABASE_TEST, max_examples=2)
    @given(case=cases(weighed=True))
    def weighed(case: Case) -> None:
        put(migrated_url, case, quantity="numeric")
        check(migrated_url, tmp_path, case)

    weighed()
