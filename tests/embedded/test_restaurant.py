"""The generated restaurant: deterministic, consistent, and with realistic patterns."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from embedded.restaurant import Restaurant, generate

UNTIL = datetime(2026, 3, 1, 20, tzinfo=ZoneInfo("Europe/London"))


@pytest.fixture(scope="module")
def made() -> Restaurant:
    return generate(seed=7, until=UNTIL)


@pytest.fixture(scope="module")
def local(made: Restaurant) -> pd.DataFrame:
    """The orders (no refunds) with their wall-clock time."""
    orders = made.transactions[made.transactions.total_amount > 0]
    return orders.assign(local=orders.created_at.dt.tz_convert("Europe/London").dt.tz_localize(None))


def test_the_same_seed_makes_the_same_restaurant(made: Restaurant) -> None:
    again = generate(seed=7, until=UNTIL)
    pd.testing.assert_frame_equal(made.transactions, again.transactions)
    pd.testing.assert_frame_equal(made.items, again.items)
    assert not made.items.equals(generate(seed=8, until=UNTIL).items)


def test_it_has_the_size_that_was_promised(made: Restaurant, local: pd.DataFrame) -> None:
    assert 55_000 < len(local) < 65_000 and 2.2 < len(made.items) / len(local) < 2.8
    assert 2_700 < made.transactions.mobile_id.nunique() < 3_300 and len(made.menu) == 60
    assert 0.2 < made.transactions.mobile_id.isna().mean() < 0.3
    assert 0.005 < (made.transactions.total_amount < 0).mean() < 0.02
    assert made.transactions.created_at.max() <= UNTIL
    assert 530 < (made.transactions.created_at.max() - made.transactions.created_at.min()).days < 560


def test_keys_are_unique_and_totals_are_the_sum_of_their_lines(made: Restaurant, local: pd.DataFrame) -> None:
    assert made.transactions.transaction_id.is_unique and made.items.id.is_unique
    assert set(made.items.item_id) <= set(made.menu["item_id"])
    lines = (made.items.quantity * made.items.price).groupby(made.items.transaction_id).sum()
    assert np.allclose(local.set_index("transaction_id").total_amount, lines)


def test_a_tenth_of_the_customers_make_much_of_the_visits_and_many_stop_coming(local: pd.DataFrame) -> None:
    visits = local.mobile_id.value_counts()
    assert visits.head(len(visits) // 10).sum() / visits.sum() > 0.35
    last = local.groupby("mobile_id").created_at.max()
    assert (last < UNTIL - pd.Timedelta(days=180)).mean() > 0.2


def test_weeks_days_and_dishes_have_their_rhythm(made: Restaurant, local: pd.DataFrame) -> None:
    by_day = local.local.dt.day_of_week.value_counts()
    assert by_day[5] > 1.4 * by_day[0]
    lines = made.items.merge(local, on="transaction_id").merge(made.menu[["item_id", "category"]], on="item_id")
    breakfast = lines[lines.category == "Breakfast"].local.dt.hour
    assert breakfast.between(4, 11).mean() > 0.7
    dayparts = pd.cut(local.local.dt.hour, [-1, 1, 3, 6, 10, 12, 14, 16, 18, 20, 24])
    assert (dayparts.value_counts().drop(pd.Interval(1, 3)) > 100).all()
