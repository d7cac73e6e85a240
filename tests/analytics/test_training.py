"""Training on a simulated shop: the data of holdouts, and which model is used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analytics import training
from analytics.btyd_fit import Cells
from analytics.calibration import Correction
from analytics.histories import RECENT, Histories


def histories_of(occasions: list[list[int]]) -> Histories:
    """Each customer's occasions, in days ago."""
    recent = [[ago for ago in sorted(each, reverse=True) if ago < RECENT] for each in occasions]
    older = [min((ago for ago in each if ago >= RECENT), default=-1) for each in occasions]
    return Histories(
        np.array([max(each) for each in occasions]),
        np.array([len(each) for each in occasions]),
        np.array(older),
        np.repeat(np.arange(len(occasions)), [len(each) for each in recent]),
        np.array([ago for each in recent for ago in each], dtype=np.int64),
    )


def shop(customers: int, days: int, seed: int) -> list[list[int]]:
    """Customers with individual rates who leave at some day; all come at least once."""
    generator, found = np.random.default_rng(seed), []
    for _ in range(customers):
        first, rate = generator.integers(0, days), generator.gamma(0.8, 1 / 20)
        lasts = generator.exponential(200)
        times = first - np.cumsum(generator.exponential(1 / rate, 400))
        found.append(sorted({int(first), *(int(day) for day in times if day >= 0 and first - day <= lasts)}))
    return found


def cells_of(histories: Histories) -> Cells:
    now = histories.at(0)
    return Cells.of(now.x, now.t_x, now.t)


@pytest.fixture(scope="module")
def year() -> Histories:
    return histories_of(shop(800, 400, 1))


@pytest.mark.parametrize("cut", [0, 30, 150, RECENT])
def test_a_cut_shows_what_was_known_then(cut: int) -> None:
    occasions = [[400, 300, 290, 31, 30, 29, 0], [29], [500], [RECENT, 151, 150, 149], [30], [270, 269]]
    found = histories_of(occasions).at(cut)
    then = [[ago for ago in each if ago >= cut] for each in occasions]
    known = [place for place, each in enumerate(then) if each]
    assert found.known.tolist() == known
    assert found.x.tolist() == [len(then[place]) - 1 for place in known]
    assert found.t_x.tolist() == [max(then[place]) - min(then[place]) for place in known]
    assert found.t.tolist() == [max(then[place]) - cut for place in known]


def test_the_day_of_a_cut_is_known_and_what_follows_is_held_back() -> None:
    histories = histories_of([[100, 30], [100, 29], [100, 0], [100]])
    assert histories.ordered(30, 30).tolist() == [False, True, True, False]
    assert histories.ordered(60, 30).tolist() == [True, False, False, False]


def test_the_first_model_beats_recency_and_a_retrain_of_the_same_data_is_the_same(year: Histories) -> None:
    first = training.train(year, cells_of(year), None, None, 7)
    assert first.decision.promoted
    assert first.metrics["holdouts"] == 3
    for horizon in ("30d", "90d"):
        assert first.metrics["challenger"][horizon]["log_loss"] < first.metrics["baseline"][horizon]["log_loss"]
        assert first.metrics["challenger"][horizon]["auc"] > first.metrics["baseline"][horizon]["auc"]
        assert first.metrics["challenger"][horizon]["calibration_error"] < 0.1
    again = training.train(year, cells_of(year), first.model, "v1", 7)
    assert again.model == first.model
    assert not again.decision.promoted
    assert again.decision.sentence.startswith("kept v1: ")


def test_a_champion_that_no_longer_fits_is_replaced(year: Histories) -> None:
    good = training.train(year, cells_of(year), None, None, 7).model
    stale = replace(good, parameters=replace(good.parameters, alpha=good.parameters.alpha * 6))
    decision = training.train(year, cells_of(year), stale, "v4", 7).decision
    assert decision.promoted
    assert decision.sentence.startswith("promoted over v4: the challenger's log-loss is .")


def test_a_short_history_has_a_model_without_a_holdout() -> None:
    short = histories_of(shop(500, 45, 2))
    found = training.train(short, cells_of(short), None, None, 7)
    assert found.metrics["holdouts"] == 0
    assert "too little history" in found.decision.sentence


def test_a_longer_horizon_is_never_less_probable_and_a_model_survives_storage(year: Histories) -> None:
    model = training.train(year, cells_of(year), None, None, 7).model
    assert training.Model.of(model.stored()) == model
    of_an_older_version = {"corrections": {"30": [0.1, 0.9]}} | model.parameters.stored()
    assert training.Model.of(of_an_older_version).corrections == {30: Correction(0.1, 0.9)}
    cells = cells_of(year)
    p = model.p_order(cells.x, cells.t_x, cells.t)
    assert (p[30] <= p[90]).all()


@pytest.mark.parametrize(
    ("customers", "repeaters", "days", "expected"),
    [(200, 100, 90, True), (199, 100, 90, False), (200, 99, 90, False), (200, 100, 89, False)],
)
def test_too_little_is_said(customers: int, repeaters: int, days: int, expected: bool) -> None:
    assert training.enough(customers, repeaters, days) is expected
