"""Gamma-Gamma, against the published parameters of the CDNOW data and the library lifetimes."""

from __future__ import annotations

import numpy as np
import pytest
from lifetimes import GammaGammaFitter
from lifetimes.datasets import load_cdnow_summary_data_with_monetary_value

from analytics import spending
from analytics.spending import Spending


def test_the_fit_and_the_values_are_the_published_ones() -> None:
    summary = load_cdnow_summary_data_with_monetary_value()
    repeaters = summary[summary["frequency"] > 0]
    assert len(repeaters) == 946
    x = repeaters["frequency"].astype("int64").to_numpy()
    cents = (repeaters["frequency"] * repeaters["monetary_value"] * 100).round().astype("int64").to_numpy()
    found = spending.fit(x, cents, cents.sum() / x.sum())
    assert (found.p, found.q, found.v / 100) == pytest.approx((6.25, 3.744, 15.444), rel=5e-3)
    reference = GammaGammaFitter().fit(repeaters["frequency"], repeaters["monetary_value"])
    expected = reference.conditional_expected_average_profit(repeaters["frequency"], repeaters["monetary_value"])
    assert spending.occasion_value(found, x, cents) / 100 == pytest.approx(np.asarray(expected), rel=1e-4)


def test_customers_without_repeat_occasions_are_worth_the_mean_of_all_means() -> None:
    model = Spending(6.0, 4.0, 1500.0, 4000.0)
    assert spending.occasion_value(model, np.array([0]), np.array([0])).tolist() == [6.0 * 1500.0 / 3.0]


@pytest.mark.parametrize(
    ("x", "cents"),
    [
        ([1] * 99, list(range(100, 199))),  # too few
        ([0] * 500, [0] * 500),  # nobody came again
        ([1] * 500, [1000] * 500),  # all alike
        ([3] * 300, [1] * 299 + [10**12]),  # one order of ten billion
    ],
)
def test_where_no_model_serves_every_occasion_is_worth_a_sane_amount(x: list[int], cents: list[int]) -> None:
    mean = max(sum(cents) / max(1, sum(x)), 1.0)
    model = spending.fit(np.array(x), np.array(cents), mean)
    values = spending.occasion_value(model, np.array([0, 1, 5000]), np.array([0, 1000, 5_000_000]))
    assert np.isfinite(values).all() and (values > 0).all()
    assert mean / 2 <= values[0] <= mean * 2
