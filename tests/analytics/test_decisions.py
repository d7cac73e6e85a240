"""Champion and challenger: simulated decisions (long: two hundred of each kind), and the sentences about them."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.btyd import Floats
from analytics.decisions import Decision, Losses, bound, decide

CUSTOMERS, SIMULATED = 3000, 200


def losses(champion: Floats, challenger: Floats) -> Losses:
    return Losses(champion, challenger, np.maximum(champion, challenger) + 0.2, np.ones(len(champion)))


def judged(found: Losses, *, seed: int = 1, same_family: bool = True) -> Decision:
    return decide(found, holdouts=3, champion="v3", same_family=same_family, seed=seed)


def log_loss(p: Floats, happened: Floats) -> Floats:
    return -np.log(np.where(happened, p, 1 - p))


@pytest.mark.long
def test_of_challengers_trained_on_shuffled_labels_none_is_promoted() -> None:
    promoted = 0
    for seed in range(SIMULATED):
        generator = np.random.default_rng(seed)
        p = generator.beta(1, 2, CUSTOMERS).clip(0.01, 0.99)
        happened = generator.random(CUSTOMERS) < p
        promoted += judged(losses(log_loss(p, happened), log_loss(generator.permutation(p), happened))).promoted
    assert promoted <= 0.01 * SIMULATED


@pytest.mark.long
def test_of_challengers_of_equal_skill_few_are_promoted() -> None:
    promoted = 0
    for seed in range(SIMULATED):
        generator = np.random.default_rng(seed)
        p = generator.beta(1, 2, CUSTOMERS).clip(0.01, 0.99)
        happened = generator.random(CUSTOMERS) < p
        # Equally large errors, of different kinds.
        one, other = (1 / (1 + np.exp(-(np.log(p / (1 - p)) + generator.normal(0, 0.2, CUSTOMERS)))) for _ in range(2))
        promoted += judged(losses(log_loss(one, happened), log_loss(other, happened)), seed=seed).promoted
    assert promoted <= 0.12 * SIMULATED


@pytest.mark.long
def test_of_truly_better_challengers_nearly_all_are_promoted() -> None:
    promoted = 0
    for seed in range(SIMULATED):
        generator = np.random.default_rng(seed)
        champion = generator.gamma(1, 0.5, CUSTOMERS)
        difference = generator.normal(0, 0.1, CUSTOMERS)
        difference -= 3 * 0.1 / np.sqrt(CUSTOMERS)
        promoted += judged(losses(champion, champion + difference), seed=seed).promoted
    assert promoted >= 0.9 * SIMULATED


def test_another_family_needs_more_evidence() -> None:
    generator = np.random.default_rng(0)
    champion = generator.gamma(1, 0.5, CUSTOMERS)
    noise = generator.normal(0, 0.1, CUSTOMERS)
    noise += -noise.mean() - 1.6 * noise.std() / np.sqrt(CUSTOMERS)  # between 1.28 and 1.96 standard errors
    found = losses(champion, champion + noise)
    assert judged(found).promoted
    assert not judged(found, same_family=False).promoted
    assert "95 % bound" in judged(found, same_family=False).sentence


def test_customers_in_groups_have_the_bound_of_single_ones() -> None:
    generator = np.random.default_rng(3)
    difference = generator.normal(-0.01, 1.0, 50_000)
    mean, low, high = bound(difference, np.ones(50_000), 80, 1)
    half = 1.2816 / np.sqrt(50_000)
    assert mean == pytest.approx(difference.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=half / 5)


def test_a_challenger_behind_the_baseline_is_refused_and_the_first_model_says_so() -> None:
    ones = np.ones(100)
    behind = Losses(ones * 0.5, ones * 0.4, ones * 0.3, ones)
    assert judged(behind) == Decision(
        False,
        "kept v3: the challenger does not beat the baseline; its log-loss is .1000 higher than the baseline's"
        " over three holdouts",
    )
    first = decide(Losses(None, ones * 0.4, ones * 0.3, ones), holdouts=1, champion=None, same_family=False, seed=1)
    assert first.promoted and "does not beat the baseline" in first.sentence


def test_a_champion_behind_the_baseline_gives_way_to_one_that_is_not() -> None:
    generator = np.random.default_rng(4)
    ones = np.ones(100)
    challenger = 0.4 + generator.normal(0, 0.5, 100)
    champion = challenger + generator.normal(0, 1, 100)
    champion += 0.45 - champion.mean()
    found = Losses(champion, challenger + 0.4 - challenger.mean(), ones * 0.42, ones)
    decision = judged(found)
    assert decision.promoted and "no longer beats the baseline" in decision.sentence


def test_without_a_holdout_the_first_model_serves_and_stays() -> None:
    nothing = Losses(None, np.zeros(5), np.zeros(5), np.zeros(5))
    assert decide(nothing, holdouts=0, champion=None, same_family=False, seed=1).promoted
    kept = decide(nothing, holdouts=0, champion="v1", same_family=True, seed=1)
    assert kept == Decision(False, "kept v1: there is too little history for a holdout")


def test_the_sentence_has_the_figures() -> None:
    champion = np.full(400, 0.5)
    challenger = champion + np.where(np.arange(400) % 2, 0.01, -0.0108)
    assert judged(losses(champion, challenger)).sentence.startswith(
        "kept v3: the challenger's log-loss is .0004 lower over three holdouts, 80 % bound −.00"
    )
