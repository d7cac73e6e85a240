"""Scores are those that a reader computes by hand from the method's formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.recommendations.evaluation import fitted, next_visits, outcomes, z_of
from analytics.recommendations.model import Model, recalibrated
from analytics.recommendations.parameters import Parameters
from analytics.recommendations.profiles import profiles
from analytics.recommendations.scoring import best, popular_scores, score
from analytics.recommendations.tallies import tally
from tests.analytics.recommendations.drawn import DAYPARTS, HISTORIES, ITEMS, VISITS, arrays
from tests.analytics.recommendations.plain import History, Plain, Visit

PARAMETERS = st.builds(
    Parameters,
    half_life=st.sampled_from([0, 16, 2]),
    prior=st.sampled_from([4, 16]),
    together=st.sampled_from([0.2, 0.6]),
    bought_too=st.booleans(),
    by_daypart=st.booleans(),
)


def fit(histories: list[History], guests: History, parameters: Parameters) -> Model:
    item_ids = np.arange(ITEMS)
    known, others = arrays(histories), arrays([guests])
    return fitted(known, others, parameters, items=ITEMS, dayparts=DAYPARTS, item_ids=item_ids)[0]


@given(HISTORIES, st.lists(VISITS, max_size=5), PARAMETERS)
def test_scores_are_those_of_the_formulas(histories: list[History], guests: History, parameters: Parameters) -> None:
    found, plain = fit(histories, guests, parameters), Plain(histories, guests, parameters, ITEMS, DAYPARTS)
    # The last daypart is the time between dayparts, in which popularity is that of all times of day.
    for daypart in range(DAYPARTS):
        time = daypart if daypart < DAYPARTS - 1 else None
        scored = score(found, profiles(arrays(histories), parameters), np.full(len(histories), daypart))
        for customer, history in enumerate(histories):
            expected = plain.scores(history, time)
            assert scored.scores[customer].tolist() == pytest.approx([expected[i] for i in found.item_ids], abs=1e-4)
        shares = [plain.popularity(int(item), time) for item in found.item_ids]
        assert popular_scores(found, daypart).tolist() == pytest.approx(shares, abs=1e-8)


@given(HISTORIES, PARAMETERS, st.permutations(range(ITEMS)))
def test_how_items_are_coded_does_not_show(histories: list[History], parameters: Parameters, codes: list[int]) -> None:
    """Bit by bit, since an incremental run gives new items other codes than a full one."""
    coded = [
        [Visit(v.time, v.day, v.daypart, frozenset(codes[item] for item in v.items)) for v in history]
        for history in histories
    ]
    item_ids = np.argsort(codes)
    one = fit(histories, [], parameters)
    other, _ = fitted(arrays(coded), arrays([[]]), parameters, items=ITEMS, dayparts=DAYPARTS, item_ids=item_ids)
    assert one.item_ids.tolist() == other.item_ids.tolist()
    for name in ("popularity", "rebuy", "calibration", "novelty", "similarity"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    dayparts = np.zeros(len(histories), dtype=np.int64)
    first, second = (
        score(model, profiles(arrays(of), parameters), dayparts).scores
        for model, of in ((one, histories), (other, coded))
    )
    assert np.array_equal(first, second)


@given(HISTORIES)
def test_one_customer_is_scored_as_all_together_are(histories: list[History]) -> None:
    found = fit(histories, [], Parameters())
    together = profiles(arrays(histories), Parameters())
    dayparts = np.arange(len(histories)) % DAYPARTS
    scored = score(found, together, dayparts).scores
    for customer in range(len(histories)):
        alone = together.of_customers(np.arange(len(histories)) == customer)
        assert np.array_equal(score(found, alone, dayparts[customer : customer + 1]).scores[0], scored[customer])


@given(HISTORIES, PARAMETERS, PARAMETERS)
def test_a_recalibrated_model_is_that_of_its_parameters(
    histories: list[History], one: Parameters, other: Parameters
) -> None:
    made, none = profiles(arrays(histories), other), np.zeros(len(histories), dtype=np.int64)
    counted = tally(made, none, parameters=other, items=ITEMS, dayparts=DAYPARTS, most_segments=1)
    found, expected = recalibrated(fit(histories, [], one), counted, other), fit(histories, [], other)
    assert found.parameters == other
    assert all(np.array_equal(values, getattr(expected, name)) for name, values in vars(found).items())


def test_equal_scores_go_by_popularity_and_then_the_lowest_id() -> None:
    assert best(np.array([0.5, 0.7, 0.5, -1.0, 0.7, 0.5]), 4).tolist() == [1, 4, 0, 2]
    assert best(np.array([-1.0, 0.1, -1.0]), 4).tolist() == [1]
    assert best(np.array([0.3000000001, 0.3]), 2).tolist() == [0, 1]  # equal to nine digits
    assert best(np.array([0.3, 0.300000002]), 2).tolist() == [1, 0]


def test_recall_and_gain_of_a_list_are_those_worked_out_by_hand() -> None:
    """Items 0 to 3, in order of popularity; the customer took 0, and then comes for 1 and 3."""
    histories = [
        [Visit(1, 1, 0, frozenset({0, 1, 2, 3}))],
        [Visit(2, 1, 0, frozenset({0}))],
        [Visit(0, 0, 0, frozenset({0, 1, 2}))],
    ]
    found = fit([histories[1]], [*histories[2], *histories[0]], Parameters())
    visits = arrays([[Visit(9, 9, 0, frozenset({1, 3}))]])
    result = outcomes(found, profiles(arrays([histories[1]]), Parameters()), visits)["global"]
    # 0, 1, 2, 3, 4, 5 by orders and ids: hits at ranks 2 and 4 of two items.
    gain = (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    assert (result.recall.tolist(), result.hits.tolist(), result.sizes.tolist()) == ([1.0], [2], [2])
    assert result.gain.tolist() == pytest.approx([gain])
    assert result.old_hits.tolist() == [0]


def test_the_visit_that_is_predicted_is_the_first_one_of_a_fold() -> None:
    def visit(time: int) -> Visit:
        return Visit(time, 0, 0, frozenset({1}))

    histories = arrays([[visit(1), visit(5), visit(6)], [visit(5)], [visit(2), visit(9)], [visit(3)]])
    assert histories.times[next_visits(histories, 4, 8)].tolist() == [5]
    assert histories.times[next_visits(histories, 4, 20)].tolist() == [5, 9]


def test_a_mean_difference_is_reported_in_standard_errors() -> None:
    assert z_of(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / (1 / np.sqrt(3)))
    assert z_of(np.array([1.0])) == z_of(np.array([1.0, 1.0])) == 0.0
