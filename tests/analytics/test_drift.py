"""Drift and calibration, against values worked out by hand and simulated samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analytics import calibration, drift
from analytics.calibration import Cases, Correction


def test_the_index_is_worked_out_over_shares() -> None:
    # Shares .5, .5 and .25, .75: (−.25) ln .5 + .25 ln 1.5
    assert drift.psi([10, 10], [5, 15]) == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5))
    assert drift.psi([10, 10], [500, 500]) == 0
    assert math.isfinite(drift.psi([0, 10], [10, 0]))
    assert drift.psi([7], [9]) == 0


def test_equal_populations_rarely_alarm_however_small() -> None:
    generator, alarms = np.random.default_rng(1), 0
    for _ in range(300):
        trained, now = generator.exponential(30, 200), generator.exponential(30, 200)
        at = drift.edges(trained)
        expected, actual = drift.counts(trained, at), drift.counts(now, at)
        alarms += drift.psi(expected, actual) > drift.limit(expected, actual)
    assert alarms <= 9  # 1 % of 300, plus random variation


def test_a_shift_alarms() -> None:
    generator = np.random.default_rng(2)
    trained, now = generator.exponential(30, 5000), generator.exponential(60, 5000)
    at = drift.edges(trained)
    expected, actual = drift.counts(trained, at), drift.counts(now, at)
    assert sum(expected) == 5000 and len(expected) == 10
    assert drift.psi(expected, actual) > drift.limit(expected, actual) == pytest.approx(0.1)


def test_few_different_values_have_few_bins() -> None:
    assert drift.edges(np.array([1.0, 1.0, 1.0])) == []
    assert drift.counts(np.array([1.0, 1.0]), []) == [2]
    assert drift.edges(np.array([0.0] * 90 + [1.0] * 10)) == []
    assert drift.counts(np.array([0.0, 2.0, 3.0]), [2.0]) == [1, 2]


def test_a_correction_undoes_what_was_done_to_the_odds() -> None:
    generator = np.random.default_rng(3)
    true = generator.beta(1, 2, 200_000).clip(1e-4, 1 - 1e-4)
    happened = generator.random(200_000) < true
    odds = np.log(true / (1 - true))
    given = 1 / (1 + np.exp(-(odds - 0.5) / 0.8))  # so that true odds = .5 + .8 · given odds
    found = calibration.learn([Cases(given, happened)])
    assert (found.shift, found.slope) == pytest.approx((0.5, 0.8), abs=0.03)
    assert calibration.calibration_error(found(given), happened) < 0.005
    assert calibration.calibration_error(given, happened) > 0.05


def test_a_correction_has_the_effects_of_all_periods_and_the_level_of_the_latest() -> None:
    generator, periods = np.random.default_rng(3), []
    for shift in (0.5, -0.7):
        given = generator.beta(1, 2, 100_000).clip(1e-4, 1 - 1e-4)
        features = [generator.normal(0, 1, 100_000), generator.normal(0, 1, 100_000)]
        odds = shift + 0.8 * np.log(given / (1 - given)) + 0.3 * features[0]
        periods.append(Cases(given, generator.random(100_000) < 1 / (1 + np.exp(-odds)), features))
    found = calibration.learn(periods)
    assert (found.shift, found.slope, *found.effects) == pytest.approx((0.5, 0.8, 0.3, 0.0), abs=0.03)
    latest = periods[0]
    assert calibration.calibration_error(found(latest.p, latest.features), latest.happened) < 0.005


def test_a_correction_is_finite_whatever_happened() -> None:
    p = np.array([0.0, 0.2, 0.9, 1.0])
    for happened in (np.zeros(4, dtype=bool), np.ones(4, dtype=bool), np.array([True, True, False, False])):
        corrected = calibration.learn([Cases(p, happened)])(p)
        assert np.isfinite(corrected).all() and (np.diff(corrected) >= 0).all()
    assert calibration.learn([Cases(np.array([]), np.array([], dtype=bool))]) == Correction()


def test_the_area_counts_ties_half() -> None:
    assert calibration.auc(np.array([0.1, 0.2, 0.3]), np.array([False, False, True])) == 1
    assert calibration.auc(np.array([0.5, 0.5]), np.array([False, True])) == 0.5
    assert calibration.auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([True, False, True, False])) == 0.125
    assert calibration.auc(np.array([0.5]), np.array([True])) is None


def test_the_calibration_error_is_that_of_ten_bins() -> None:
    # Bin .2: 4 cases, mean .25, one happened: 0. Bin .9: 1 case, .9, did not: .9 of one case in five.
    p, happened = np.array([0.25] * 4 + [0.9]), np.array([True, False, False, False, False])
    assert calibration.calibration_error(p, happened) == pytest.approx(0.9 / 5)
