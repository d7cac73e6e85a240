import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.anomalies import anomalies
from analytics.forecasts import METHODS, forecast
from analytics.smoothing import FIXED, GRID, smooth
from tests.analytics.daily import WEEK, daily, noise


def always_open(values):
    return np.ones(values.shape[1], dtype=bool)


def smoothed_by_hand(values, weekdays, used, level_rate, season_rate):
    """One series and one model, in plain Python: the state after all days, and the discounted squared error."""
    logs = [math.log(1 + max(value, 0)) for value in values]
    warm = [day for day in range(len(values)) if used[day]][:28]
    level = sum(logs[day] for day in warm) / max(len(warm), 1)
    season = []
    for weekday in range(7):
        days = [day for day in warm if weekdays[day] == weekday]
        season.append(sum(logs[day] - level for day in days) / (len(days) + 1))
    cost = 0.0
    for day, value in enumerate(logs):
        if used[day]:
            error = value - level - season[weekdays[day]]
            cost = cost * 0.99 + error**2
            level, season[weekdays[day]] = level + level_rate * error, season[weekdays[day]] + season_rate * error
    return [math.exp(level + one) - 1 for one in season], cost


def test_smoothing_equals_one_series_and_one_model_at_a_time():
    random = np.random.default_rng(1)
    values = random.poisson(6 * WEEK[np.arange(90) % 7], (4, 90)).astype(float)
    used = random.random((4, 90)) < 0.9
    weekdays = (3 + np.arange(90)) % 7
    found = smooth(values, weekdays, used, [60, 90])
    for series in range(4):
        for day in (60, 90):
            args = (values[series, :day].tolist(), weekdays.tolist(), used[series].tolist())
            fixed = [smoothed_by_hand(*args, *rates)[0] for rates in FIXED]
            expected = [max(0, statistics.fmean(of_weekday)) for of_weekday in zip(*fixed, strict=True)]
            assert found.averaged[day][:, series] == pytest.approx(expected)
            grid = [smoothed_by_hand(*args, *rates) for rates in GRID]
            best = min(grid, key=lambda model: model[1])[0]
            assert found.chosen[day][:, series] == pytest.approx([max(0, one) for one in best])


def test_a_regular_week_is_forecast_as_it_is():
    values = np.tile(np.array([[5.0, 10, 15, 20, 40, 60, 30]]), 50)
    values *= np.where(np.arange(350) // 7 % 2, 1.1, 0.9)  # a good week follows a bad one
    found = forecast(values, 0, always_open(values), 14)
    assert found.forecast[0] == pytest.approx(np.tile([5, 10, 15, 20, 40, 60, 30], 2), rel=0.1)
    assert {METHODS[number] for number in found.method[0]} == {"blend"}
    assert ((found.low <= found.forecast) & (found.forecast <= found.high)).all()


def test_a_closed_weekday_is_forecast_as_zero_and_days_without_any_order_are_not_learned_from():
    values = np.tile(np.array([[5.0, 10, 15, 20, 40, 60, 0]]), 20)
    is_open = values[0] > 0
    regular = forecast(values, 0, is_open, 7)
    values[:, -30:-20], is_open[-30:-20] = 0, False  # a holiday
    found = forecast(values, 0, is_open, 7)
    assert found.forecast[0, :6] == pytest.approx(regular.forecast[0, :6], rel=0.05)
    assert METHODS[found.method[0, 6]] == "closed"
    assert found.forecast[0, 6] == found.low[0, 6] == found.high[0, 6] == 0


def test_a_series_whose_backtest_says_so_is_forecast_by_the_week_before():
    # It rose tenfold twelve weeks ago: since then the last week predicts better than any average.
    levels = np.repeat([10.0, 100.0], [200, 84])[None]
    found = forecast(levels, 0, always_open(levels), 28)
    assert METHODS[found.method[0, 0]] == "seasonal_naive"
    assert (found.forecast == levels[0, -1]).all()


def test_a_series_that_is_mostly_zero_is_forecast_by_its_weekdays_medians():
    values = np.zeros((1, 140))
    values[0, 5::7] = 3  # sold on Saturdays alone
    found = forecast(values, 0, always_open(values), 7)
    assert METHODS[found.method[0, 0]] == "weekday_median"
    assert found.forecast[0].tolist() == [0, 0, 0, 0, 0, 3, 0]


def test_an_item_that_is_no_longer_sold_is_forecast_as_zero():
    values = daily(np.random.default_rng(2), 1, 200, mean=20, resemblance=0, deviation=0.2)
    values[:, -60:] = 0
    assert (forecast(values, 0, always_open(values), 28).forecast == 0).all()


def test_ranges_cover_about_eighty_percent():
    random = np.random.default_rng(3)
    mean = 30 * WEEK[np.arange(328) % 7] * (1 + noise(random, 300, 328, 0.5, 0.15))
    values = random.poisson(np.maximum(mean, 0)).astype(float)
    found = forecast(values[:, :300], 0, always_open(values)[:300], 28)
    inside = (values[:, 300:] >= found.low) & (values[:, 300:] <= found.high)
    assert 0.77 <= inside.mean() <= 0.88


def test_a_few_days_are_enough_for_numbers():
    for days in (1, 6, 14, 40):
        values = np.random.default_rng(4).poisson(5, (3, days)).astype(float)
        found = forecast(values, 4, always_open(values), 28)
        assert np.isfinite(found.forecast).all() and np.isfinite(found.high).all()


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(20, 150))
def test_a_series_forecast_does_not_depend_on_others(seed, wanted, days):
    random = np.random.default_rng(seed)
    values = random.poisson(random.uniform(0.1, 50, (9, 1)), (9, days)).astype(float)
    values[random.integers(0, 9), : days // 2] = np.nan
    is_open = random.random(days) < 0.9
    whole, part = forecast(values, 0, is_open, 28), forecast(values[wanted : wanted + 2], 0, is_open, 28)
    for name in ("forecast", "low", "high", "method", "one_step"):
        np.testing.assert_array_equal(getattr(whole, name)[wanted : wanted + 2], getattr(part, name))


def simulated(random, mean, days=400):
    level = mean * WEEK[np.arange(days) % 7] * (1 + noise(random, 200, days, 0.5, 0.1))
    return random.poisson(np.maximum(level, 0)).astype(float)


@pytest.mark.parametrize("mean", [40, 200])
def test_few_days_are_anomalies_by_chance_and_a_threefold_day_is_one(mean):
    values = simulated(np.random.default_rng(5), mean)
    used = np.ones_like(values, dtype=bool)
    found = anomalies(values, forecast(values, 0, always_open(values), 1).one_step, used, 200)
    assert found.mean() <= 0.01
    values[:, -1] *= 3
    found = anomalies(values, forecast(values, 0, always_open(values), 1).one_step, used, 1)
    assert found.mean() >= 0.95
    assert not anomalies(values, np.full_like(values, 19.0), used, 1).any()  # too few values
