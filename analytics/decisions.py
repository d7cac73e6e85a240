"""Champion and challenger: whether a newly trained model replaces the one in service.

Both are evaluated on the same customers at the same holdouts. The challenger has to be significantly better: the
bootstrap bound over customers of the mean difference of their losses is below zero, 80 % two-sided within one family of
models, 95 % if the family changes. Both have to beat a simple baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.btyd import Floats

SAME_FAMILY, OTHER_FAMILY = 80, 95  # per cent, two-sided
SAMPLES = 1000
GROUPS = 500  # more customers are resampled in groups, which gives the same bound


@dataclass(frozen=True)
class Losses:
    """Each customer's loss, lower is better, summed over the holdouts with the customer; `cases` are how many."""

    champion: Floats | None
    challenger: Floats
    baseline: Floats
    cases: Floats


@dataclass(frozen=True)
class Decision:
    """Whether the challenger is promoted, and why, in one sentence."""

    promoted: bool
    sentence: str


def bound(difference: Floats, cases: Floats, per_cent: int, seed: int) -> tuple[float, float, float]:
    """The mean of a difference per case, and its two-sided bootstrap bound over customers: (mean, low, high).

    Customers are in an order that has nothing to do with their values.
    """
    if not len(cases) or not cases.sum():
        return 0.0, 0.0, 0.0
    if len(cases) > GROUPS:
        group = np.arange(len(cases)) % GROUPS
        difference = np.bincount(group, difference).astype(np.float64)
        cases = np.bincount(group, cases).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(cases), (SAMPLES, len(cases)))
    means = difference[drawn].sum(axis=1) / np.maximum(cases[drawn].sum(axis=1), 1)
    tail = (100 - per_cent) / 200
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(difference.sum() / cases.sum()), float(low), float(high)


def decide(
    losses: Losses,
    *,
    holdouts: int,
    champion: str | None,
    same_family: bool,
    seed: int,
    measure: str = "log-loss",
) -> Decision:
    """Compare the challenger with the champion (its name, such as `v3`; None if there is none) and the baseline.

    `measure` is the name of the losses.
    """
    if not holdouts:
        if champion is None:
            return Decision(True, "promoted: there is no model before it, and too little history for a holdout")
        return Decision(False, f"kept {champion}: there is too little history for a holdout")
    gain = _mean(losses.baseline - losses.challenger, losses.cases)
    of_baseline = f"its {measure} is {_figure(abs(gain))} {'lower' if gain > 0 else 'higher'} than the baseline's"
    over = f"over {_count(holdouts)}"
    if champion is None or losses.champion is None:
        why = (
            "there is no model before it"
            if gain > 0
            else "there is no other model, though it does not beat the baseline"
        )
        return Decision(True, f"promoted: {why}; {of_baseline} {over}")
    if gain <= 0:
        return Decision(False, f"kept {champion}: the challenger does not beat the baseline; {of_baseline} {over}")
    per_cent = SAME_FAMILY if same_family else OTHER_FAMILY
    mean, low, high = bound(losses.challenger - losses.champion, losses.cases, per_cent, seed)
    figures = (
        f"the challenger's {measure} is {_figure(abs(mean))} {'lower' if mean < 0 else 'higher'} {over},"
        f" {per_cent} % bound {_figure(low)} to {_figure(high)}"
    )
    if high < 0:
        return Decision(True, f"promoted over {champion}: {figures}")
    if mean < 0 and _mean(losses.baseline - losses.champion, losses.cases) <= 0:
        return Decision(True, f"promoted over {champion}, which no longer beats the baseline: {figures}")
    return Decision(False, f"kept {champion}: {figures}")


def _mean(difference: Floats, cases: Floats) -> float:
    return float(difference.sum() / max(1.0, float(cases.sum())))


def _count(holdouts: int) -> str:
    words = ("no holdouts", "one holdout", "two holdouts", "three holdouts")
    return words[holdouts] if holdouts < len(words) else f"{holdouts} holdouts"


def _figure(value: float) -> str:
    """Four decimals without a leading zero, as tables of losses have them."""
    text = f"{abs(value):.4f}".removeprefix("0")
    return f"−{text}" if value < 0 and text.strip("0.") else text
