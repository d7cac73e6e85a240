"""The expected value of a customer's occasion: the Gamma-Gamma model of spending.

A customer's amounts vary around the customer's mean, and these means vary between customers (p, q, v), so the estimate
for a customer with few occasions is shrunk towards the mean of all. Source: Fader and Hardie (2013), "The Gamma-Gamma
Model of Monetary Value". The fit uses repeat occasions only, so that unusual first ones have no influence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analytics.btyd import Floats, Whole
from analytics.minimizing import least

REPEATERS = 100  # with fewer customers no model is fitted
FAR = 2.0  # the largest ratio between the model's mean and the overall mean, in either direction


@dataclass(frozen=True)
class Spending:
    """A fitted model, `v` in cents. If p is 0 there is no model, and every occasion has the value `mean`, in cents."""

    p: float
    q: float
    v: float
    mean: float

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Spending:
        """Built from `stored`'s result."""
        return cls(*(float(stored[name]) for name in ("p", "q", "v", "mean")))

    def stored(self) -> dict[str, Any]:
        """The parameters as JSON."""
        return asdict(self)


def occasion_value(model: Spending, x: Whole, cents: Whole) -> Floats:
    """The expected cents of an occasion, from x repeat occasions and the sum of their cents."""
    if not model.p:
        return np.full(len(x), model.mean)
    return model.p * (model.v + cents) / (model.p * x + model.q - 1)


def fit(x: Whole, cents: Whole, mean: float) -> Spending:
    """Fit the model to these customers, or use the `mean` of all occasions (in cents) if it can't be fitted.

    Parameters
    ----------
    x, cents
        Repeat occasions and the sum of their cents; customers without any are left out.
    mean
        The mean of all customers' occasions.
    """
    nobodys = Spending(0.0, 0.0, 0.0, mean)
    x, cents, weight = _counted(x, cents)
    if int(weight.sum()) < REPEATERS:
        return nobodys
    scale = float(weight @ cents) / float(weight @ x)
    p, q, v = least(_Likelihood(x, cents / scale, weight / weight.sum()), np.zeros(3))
    newcomers = p * v * scale / (q - 1) if q > 1 else np.inf
    return Spending(p, q, v * scale, mean) if mean / FAR <= newcomers <= mean * FAR else nobodys


def _counted(x: Whole, cents: Whole) -> tuple[Whole, Whole, Whole]:
    """Equal customers counted, in order."""
    repeats = (x > 0) & (cents > 0)
    pairs, counts = np.unique(np.stack([x[repeats], cents[repeats]]), axis=1, return_counts=True)
    return pairs[0], pairs[1], counts


class _Likelihood:
    """The mean negative log-likelihood and its gradient by the logarithms of (p, q, v)."""

    def __init__(self, x: Whole, total: Floats, weight: Floats) -> None:
        self.levels, self.of_level = np.unique(x, return_inverse=True)
        self.x, self.total, self.weight, self.log_total = x.astype(np.float64), total, weight, np.log(total)
        self.of_levels = np.bincount(self.of_level, weight)

    def __call__(self, logs: Floats) -> tuple[float, Floats]:
        from scipy.special import gammaln, psi

        p, q, v = np.exp(logs)
        shape = p * self.levels
        log_all = np.log(v + self.total)
        ratio, weight = self.log_total - log_all, self.weight
        constant = gammaln(shape + q) - gammaln(shape) - gammaln(q) + q * np.log(v)
        # What no parameter changes is left out.
        total = self.of_levels @ constant + weight @ (p * self.x * ratio - q * log_all)
        by_p = self.of_levels @ (self.levels * (psi(shape + q) - psi(shape))) + weight @ (self.x * ratio)
        by_q = self.of_levels @ (psi(shape + q) - psi(q) + np.log(v)) - weight @ log_all
        by_v = q / v - weight @ ((p * self.x + q) / (v + self.total))
        return -float(total), -np.array([by_p * p, by_q * q, by_v * v])
