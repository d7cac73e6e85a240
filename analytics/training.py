"""Training the model of repeat buying: families and corrections are compared at holdouts with the model in service.

Cuts are 30 days apart. The probability of an order within 30 days is compared with the outcomes after the last three
cuts that 30 days follow, and the same for 90 days. The baseline is learned on the period before each cut, a correction
on the last two. Corrections are used unless they harm at the holdouts. They have effects of the customers' histories,
which are compared with the mean of the same day: else all customers' growing age would seem to change the level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analytics import btyd, btyd_fit, calibration
from analytics.btyd import FAMILIES, Floats, Parameters, Whole
from analytics.btyd_fit import Cells
from analytics.calibration import Cases, Correction
from analytics.decisions import SAME_FAMILY, Decision, Losses, bound, decide
from analytics.histories import RECENT, STEP, Histories, History

HORIZONS = (30, 90)  # days
HOLDOUTS = 3
CUSTOMERS, REPEATERS, DAYS = 200, 100, 90  # the least data to train on
DAYS_BEFORE_CUT = 30
LEARNABLE = 100  # the least cases of each outcome to learn a correction from
SAMPLE = 50_000  # the most customers in holdouts


@dataclass(frozen=True)
class Model:
    """Parameters, and corrections of the probability of an order by horizon; `centre` has their features' means."""

    parameters: Parameters
    corrections: Mapping[int, Correction] = field(default_factory=dict)
    centre: tuple[float, ...] = ()

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Model:
        """Built from `stored`'s result."""
        corrections = {
            int(days): Correction(shift, slope, tuple(effects))
            for days, (shift, slope, *effects) in stored["corrections"].items()
        }
        return cls(Parameters.of(stored), corrections, tuple(stored.get("centre", ())))

    def stored(self) -> dict[str, Any]:
        """The parameters as JSON."""
        corrections = {
            str(days): [each.shift, each.slope, *each.effects] for days, each in sorted(self.corrections.items())
        }
        return self.parameters.stored() | {"corrections": corrections, "centre": list(self.centre)}

    def centred(self, x: Whole, t_x: Whole, t: Whole, count: Whole | None = None) -> Model:
        """The same model for the day of these customers' histories; `count` is the number of customers of each."""
        means = [float(np.average(each, weights=count)) if len(x) else 0.0 for each in _features(x, t_x, t)]
        return replace(self, centre=tuple(round(mean, 9) for mean in means))

    def p_order(self, x: Whole, t_x: Whole, t: Whole) -> dict[int, Floats]:
        """The probability of an order within each horizon; a longer one is never less probable."""
        alive, found, least = btyd.p_alive(self.parameters, x, t_x, t), {}, np.zeros(len(x))
        features = [each - mean for each, mean in zip(_features(x, t_x, t), self.centre, strict=False)]
        for days in HORIZONS:
            p = self.corrections.get(days, Correction())(btyd.p_order(self.parameters, alive, x, t, days), features)
            found[days] = least = np.maximum(p, least)
        return found


@dataclass(frozen=True)
class Trained:
    """A challenger, the decision, and the metrics of challenger, champion and baseline at the same holdouts."""

    model: Model
    decision: Decision
    metrics: dict[str, Any]


def enough(customers: int, repeaters: int, days: int) -> bool:
    """Whether there is enough to train on."""
    return customers >= CUSTOMERS and repeaters >= REPEATERS and days >= DAYS


def train(histories: Histories, cells: Cells, champion: Model | None, name: str | None, seed: int) -> Trained:
    """Fit each family, choose the better one, fit it to all customers, and compare it with the champion.

    Parameters
    ----------
    histories
        The customers of the holdouts, in an order that is independent of their values.
    cells
        All customers as of today.
    champion, name
        The model in service and its name; None if there is none.
    """
    trials = [_Trial(histories, family, seed) for family in FAMILIES]
    best = min(trials, key=lambda trial: trial.loss())
    model = replace(best.recipe(), parameters=btyd_fit.fit(cells, best.family, best.start))
    model = model.centred(cells.x, cells.t_x, cells.t, cells.count)
    frozen = None if champion is None else best.of_frozen(champion)
    same = champion is not None and champion.parameters.family == best.family
    losses = best.losses(frozen)
    decision = decide(losses, holdouts=best.holdouts, champion=name, same_family=same, seed=seed)
    judged = {"challenger": best.predicted, "baseline": best.base} | ({} if frozen is None else {"champion": frozen})
    metrics = {"holdouts": best.holdouts} | {name: best.metrics(predicted) for name, predicted in judged.items()}
    return Trained(model, decision, metrics)


Predicted = dict[tuple[int, int], Floats]  # by horizon and cut: a probability for each customer known at the cut


class _Trial:
    """One family, fitted at every cut and judged at the holdouts."""

    def __init__(self, histories: Histories, family: str, seed: int) -> None:
        self.histories, self.family, self.seed = histories, family, seed
        self.start: Parameters | None = None
        self.known: dict[int, History] = {}
        self.models: dict[int, Parameters] = {}
        for cut in range(RECENT, 0, -STEP):
            known = histories.at(cut)
            if _usable(known):
                cells = Cells.of(known.x, known.t_x, known.t)
                self.start = self.models[cut] = btyd_fit.fit(cells, family, self.start)
                self.known[cut] = known
        self.raw, self.base, corrected = Predicted(), Predicted(), Predicted()
        for days in HORIZONS:
            for cut in range(days, days + STEP * HOLDOUTS, STEP):
                if cut in self.models and cut + days in self.models:
                    self.raw[days, cut] = self._raw(self.models[cut], cut, days)
                    correction = self._learned(cut + days, days)
                    corrected[days, cut] = correction(self.raw[days, cut], _centred(self.known[cut]))
                    self.base[days, cut] = self._recency(cut + days, cut, days)
        self.corrects = {days for days in HORIZONS if not self._harms(corrected, days)}
        self.predicted = {key: (corrected if key[0] in self.corrects else self.raw)[key] for key in self.raw}

    @property
    def holdouts(self) -> int:
        return max((sum(days == horizon for days, _ in self.raw) for horizon in HORIZONS), default=0)

    def recipe(self) -> Model:
        """The corrections that today's model needs, with the parameters of the last cut."""
        corrections = {days: self._learned(days, days) for days in self.corrects}
        return Model(self.start or Parameters(self.family, 1.0, 1.0, 1.0, 1.0), corrections)

    def of_frozen(self, champion: Model) -> Predicted:
        """The predictions at the holdouts of a model with fixed parameters, centred as if trained at the cut."""
        by_cut = {
            cut: champion.centred(known.x, known.t_x, known.t).p_order(known.x, known.t_x, known.t)
            for cut, known in self.known.items()
        }
        return {(days, cut): by_cut[cut][days] for days, cut in self.raw}

    def loss(self) -> float:
        """The mean log-loss over all holdouts."""
        losses = self.losses(None)
        return float(losses.challenger.sum() / max(1.0, float(losses.cases.sum())))

    def losses(self, champion: Predicted | None) -> Losses:
        """Each customer's losses over the holdouts."""
        challenger, cases = self._summed(self.predicted)
        held = None if champion is None else self._summed(champion)[0]
        return Losses(held, challenger, self._summed(self.base)[0], cases)

    def metrics(self, predicted: Predicted) -> dict[str, Any]:
        """Means over the holdouts, by horizon."""
        found: dict[str, Any] = {}
        for days in HORIZONS:
            rows = [(p, self._happened(cut, days)) for (horizon, cut), p in predicted.items() if horizon == days]
            if not rows:
                continue
            areas = [area for p, y in rows if (area := calibration.auc(p, y)) is not None]
            levels = sum(float(y.sum()) for _, y in rows)
            found[f"{days}d"] = {
                "log_loss": round(float(np.mean([calibration.log_loss(p, y).mean() for p, y in rows])), 6),
                "auc": round(float(np.mean(areas)), 6) if areas else None,
                "calibration_error": round(float(np.mean([calibration.calibration_error(p, y) for p, y in rows])), 6),
                "predicted_to_actual": round(sum(float(p.sum()) for p, _ in rows) / levels, 6) if levels else None,
            }
        return found

    def _raw(self, model: Parameters, cut: int, days: int) -> Floats:
        known = self.known[cut]
        alive = btyd.p_alive(model, known.x, known.t_x, known.t)
        return btyd.p_order(model, alive, known.x, known.t, days)

    def _happened(self, cut: int, days: int) -> np.typing.NDArray[np.bool_]:
        return self.histories.ordered(cut, days)[self.known[cut].known]

    def _learned(self, cut: int, days: int) -> Correction:
        """The correction by what happened after a cut and the one before it."""
        cuts = [each for each in (cut, cut + STEP) if each in self.models]
        if not cuts:
            return Correction()
        periods = [
            Cases(self._raw(self.models[each], each, days), self._happened(each, days), _centred(self.known[each]))
            for each in cuts
        ]
        happened = sum(int(cases.happened.sum()) for cases in periods)
        cases = sum(len(each.happened) for each in periods)
        return calibration.learn(periods) if LEARNABLE <= happened <= cases - LEARNABLE else Correction()

    def _recency(self, learned_at: int, cut: int, days: int) -> Floats:
        """The baseline: the share that came back of the customers equally long away, in steps of doubled days."""
        before, happened = _away(self.known[learned_at]), self._happened(learned_at, days)
        now = _away(self.known[cut])
        size = int(max(before.max(), now.max())) + 1
        mean = happened.mean()
        rates = (np.bincount(before, happened, size) + 10 * mean) / (np.bincount(before, minlength=size) + 10)
        return np.asarray(rates[now], dtype=np.float64)

    def _harms(self, corrected: Predicted, days: int) -> bool:
        """Whether the corrected probabilities were worse at the holdouts, by more than chance."""
        chosen = [key for key in self.raw if key[0] == days]
        raw, cases = self._summed({key: self.raw[key] for key in chosen})
        other, _ = self._summed({key: corrected[key] for key in chosen})
        return bound(other - raw, cases, SAME_FAMILY, self.seed)[1] > 0

    def _summed(self, predicted: Predicted) -> tuple[Floats, Floats]:
        """Each customer's losses, and how many cases they are the sum of."""
        total, cases = np.zeros((2, len(self.histories.first)))
        for (days, cut), p in predicted.items():
            known = self.known[cut].known
            total[known] += calibration.log_loss(p, self._happened(cut, days))
            cases[known] += 1
        return total, cases


def _usable(known: History) -> bool:
    days = int(known.t.max(initial=0))
    return len(known.x) >= CUSTOMERS and int(np.count_nonzero(known.x)) >= REPEATERS and days >= DAYS_BEFORE_CUT


def _features(x: Whole, t_x: Whole, t: Whole) -> list[Floats]:
    """What corrections may depend on: days since the last occasion, occasions, days between, days since the first.

    The last two let the effects of few and of many occasions, and of a long absence after them, differ.
    """
    away, often, between, seen = (np.log1p(each) for each in (t - t_x, x, t_x, t))
    return [away, often, between, seen, (x == 0).astype(np.float64), often * often, often * away / 3]


def _centred(known: History) -> list[Floats]:
    return [each - each.mean() for each in _features(known.x, known.t_x, known.t)]


def _away(known: History) -> Whole:
    steps: Whole = np.floor(np.log2(known.t - known.t_x + 1)).astype(np.int64)
    return steps
