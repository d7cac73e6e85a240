import numpy as np
import pytest

from analytics import trends
from analytics.trends import q_values, weekly, weekly_values
from tests.analytics.daily import WEEK, daily

MOVES = ["rising", "falling"]


def open_days(values):
    return np.ones(values.shape[1], dtype=bool)


def directions(values):
    return trends.trends(weekly(weekly_values(values, 0, open_days(values)))).direction


def test_statistics_of_a_small_series_as_worked_out_by_hand():
    # Twelve weeks that rise by two each, but for one pair that is swapped: 66 pairs, of which one falls.
    values = np.array([[10, 12, 16, 14, 18, 20, 22, 24, 26, 28, 30, 32.0]])
    found = weekly(values)
    assert found.weeks[0] == 12
    assert found.score[0] == 65 - 1
    assert found.variance[0] == pytest.approx(12 * 11 * 29 / 18)
    assert found.change[0] == pytest.approx(2 * 11 / 21)
    assert found.season_unknown[0]


def test_ties_lower_the_variance():
    # One group of three and one of two equal values: 3·2·11 + 2·1·9 are taken off.
    values = np.array([[5, 5, 5, 6, 6, 7, 8, 9, 10, 11, 12, 13.0]])
    assert weekly(values).variance[0] == pytest.approx((12 * 11 * 29 - 3 * 2 * 11 - 2 * 1 * 9) / 18)


def test_q_values_as_published():
    # Benjamini and Hochberg (1995), their example of fifteen p values: four are below .05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528]
    p += [0.7590, 1.0]
    found = q_values(np.array([np.nan, *p[::-1]]))
    assert np.isnan(found[0])
    assert (found[1:] <= 0.05).sum() == 4
    assert found[-1] == pytest.approx(0.0015)


@pytest.mark.parametrize("resemblance", [0, 0.5, 0.8])
@pytest.mark.parametrize("days", [182, 750])
def test_noise_around_a_weekly_season_is_no_trend(days, resemblance):
    values = daily(np.random.default_rng(1), 400, days, mean=50, resemblance=resemblance, deviation=0.2)
    assert np.isin(directions(values), MOVES).mean() <= 0.01


def test_series_that_move_are_found_and_few_others_are():
    random, wrong, found = np.random.default_rng(2), [], []
    for _ in range(5):
        slopes = np.zeros(200)
        slopes[:60] = random.choice([-1, 1], 60) * random.uniform(0.3, 0.4, 60)
        days = 26 * 7
        values = daily(random, 200, days, mean=50, resemblance=0.5, deviation=0.15)
        values += 50 * WEEK[np.arange(days) % 7] * slopes[:, None] * np.linspace(0, 1, days)
        called = directions(values)
        moves = np.isin(called, MOVES)
        wrong.append((moves & (slopes == 0)).sum() / max(moves.sum(), 1))
        found.append((called[:60] == np.where(slopes[:60] > 0, "rising", "falling")).mean())
    assert np.mean(wrong) <= 0.10
    assert np.mean(found) >= 0.5


def test_a_yearly_season_is_no_trend_once_two_years_are_known():
    random, days = np.random.default_rng(3), np.arange(731)
    phase = random.uniform(0, 2 * np.pi, (50, 1))
    values = daily(random, 50, 731, mean=50, resemblance=0.5, deviation=0.15)
    values *= 1 + 0.4 * np.sin(2 * np.pi * days / 365.25 + phase)
    assert not np.isin(directions(values), MOVES).any()
    assert not weekly(weekly_values(values, 0, open_days(values))).season_unknown.any()
    assert np.isin(directions(values[:, -189:]), MOVES).any()  # half a year is not enough for a season


def test_little_data_is_said_to_be_little():
    values = daily(np.random.default_rng(4), 3, 200, mean=50, resemblance=0, deviation=0.1)
    values[0, :-70] = np.nan  # began ten weeks ago
    values[1] = 0.5  # three and a half a week
    found = trends.trends(weekly(weekly_values(values, 0, open_days(values))))
    assert found.direction.tolist() == ["too_little_data", "too_little_data", "steady"]
    assert np.isnan(found.p_value[:2]).all() and np.isnan(found.q_value[:2]).all()


def test_closed_days_are_no_zeros():
    values, is_open = np.full((1, 28), 10.0), np.ones(28, dtype=bool)
    is_open[6::7] = False  # Sundays
    is_open[[14, 15]] = False
    values[:, ~is_open] = 0
    assert weekly_values(values, 0, is_open).tolist() == [[60, 60, 60, 60]]


def test_weeks_begin_on_monday_and_are_complete():
    values = np.arange(20.0)[None]
    assert weekly_values(values, 5, open_days(values)).tolist() == [[sum(range(2, 9)), sum(range(9, 16))]]


def test_a_series_statistics_do_not_depend_on_others():
    values = daily(np.random.default_rng(5), 40, 300, mean=20, resemblance=0.5, deviation=0.3)
    values[:7, :150] = np.nan
    whole = weekly(weekly_values(values, 2, open_days(values)))
    part = weekly(weekly_values(values[5:12], 2, open_days(values)))
    for name in ("weeks", "change", "score", "variance", "autocorrelation"):
        np.testing.assert_array_equal(getattr(whole, name)[5:12], getattr(part, name))
