"""Fitting MBG/NBD and BG/NBD by maximum likelihood to customers counted by (x, t_x, T).

The cells are sorted, so that the parameters do not depend on the order of customers or on shards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.btyd import Floats, Parameters, Whole
from analytics.minimizing import least

TIME_SCALE = 10.0  # the longest time after scaling, so that all parameters have similar steps


@dataclass(frozen=True)
class Cells:
    """Customers counted by history: repeat occasions, days to the last one, days seen, number of customers."""

    x: Whole
    t_x: Whole
    t: Whole
    count: Whole

    @classmethod
    def of(cls, x: Whole, t_x: Whole, t: Whole, count: Whole | None = None) -> Cells:
        """Count customers (or cells of several shards), in order of (x, t_x, T)."""
        count = np.ones(len(x), dtype=np.int64) if count is None else count
        order = np.lexsort((t, t_x, x))
        x, t_x, t, count = x[order], t_x[order], t[order], count[order]
        opens = np.ones(len(x), dtype=bool)
        opens[1:] = (x[1:] != x[:-1]) | (t_x[1:] != t_x[:-1]) | (t[1:] != t[:-1])
        counts = np.add.reduceat(count, np.flatnonzero(opens)) if len(x) else count
        return cls(x[opens], t_x[opens], t[opens], counts)


def fit(cells: Cells, family: str, start: Parameters | None = None) -> Parameters:
    """The maximum-likelihood parameters for these customers; `start` is the starting point.

    L-BFGS-B over the logarithms, from (1, 1, 1, 1) with time scaled, with the analytic gradient.
    """
    scale = TIME_SCALE / max(1.0, float(cells.t.max(initial=0)))
    likelihood = _Likelihood(cells, scale, 1 if family == "mbg" else 0)
    first = np.zeros(4)
    if start is not None:
        first = np.log([start.r, start.alpha * scale, start.a, start.b])
    r, alpha, a, b = least(likelihood, first)
    return Parameters(family, r, alpha / scale, a, b)


class _Likelihood:
    """The mean negative log-likelihood and its gradient by the logarithms of (r, alpha, a, b).

    What depends on x alone is computed once per x.
    """

    def __init__(self, cells: Cells, scale: float, shift: int) -> None:
        self.levels, self.of_level = np.unique(cells.x, return_inverse=True)
        self.x, self.shift = cells.x.astype(np.float64), shift
        self.t_x, self.t = cells.t_x * scale, cells.t * scale
        self.weight = cells.count / max(1, int(cells.count.sum()))
        self.of_levels = np.bincount(self.of_level, self.weight)
        self.never_left = (cells.x == 0) & (shift == 0)

    def __call__(self, logs: Floats) -> tuple[float, Floats]:
        from scipy.special import betaln, gammaln, psi

        r, alpha, a, b = np.exp(logs)
        levels, at, weight = self.levels, self.of_level, self.weight
        chances = b + levels + self.shift  # of staying; one less where the customer left with the last order
        before = np.maximum(chances - 1, np.finfo(np.float64).tiny)
        stays, leaves = betaln(a, chances), betaln(a + 1, before)
        log_t, log_t_x, shape = np.log(alpha + self.t), np.log(alpha + self.t_x), r + self.x
        active, left = stays[at] - shape * log_t, leaves[at] - shape * log_t_x
        left[self.never_left] = -np.inf
        either = np.logaddexp(active, left)
        p = np.exp(active - either)
        constant = gammaln(r + levels) - gammaln(r) + r * np.log(alpha) - betaln(a, b)
        total = float(self.of_levels @ constant + weight @ either)

        q = weight * (1 - p)
        p = weight * p
        p_of, q_of = np.bincount(at, p, len(levels)), np.bincount(at, q, len(levels))
        both = self.of_levels
        by_r = both @ (psi(r + levels) - psi(r) + np.log(alpha)) - p @ log_t - q @ log_t_x
        by_alpha = r / alpha - (shape * p) @ (1 / (alpha + self.t)) - (shape * q) @ (1 / (alpha + self.t_x))
        together = psi(a + chances)
        by_a = psi(a + b) - psi(a) + p_of @ (psi(a) - together) + q_of @ (psi(a + 1) - together)
        by_b = psi(a + b) - psi(b) + p_of @ (psi(chances) - together) + q_of @ (psi(before) - together)
        return -total, -np.array([by_r * r, by_alpha * alpha, by_a * a, by_b * b])
