"""Will a customer order again, when, and how often: the MBG/NBD and BG/NBD models of repeat buying.

A customer is x repeat occasions, the last of them t_x days after the first one, seen for T days. While active a
customer orders at random with a rate of their own (gamma: r, alpha); after each occasion, in MBG after the first one
too, the customer leaves with a probability of their own (beta: a, b). analytics/btyd_fit.py finds the parameters.

Sources: Fader, Hardie and Lee (2005), "Counting Your Customers the Easy Way" (BG/NBD); Batislam, Denizel and Filiztekin
(2007), "Empirical validation and comparison of models for customer base analysis" (MBG/NBD).

All functions work elementwise, in an order of operations that does not depend on how many customers come at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
AnyFloats = NDArray[np.floating[Any]]
Whole = NDArray[np.int64]

FAMILIES = ("mbg", "bg")
NODES = 32  # of the quadrature; 48 change no digit down to 1e-9 on the tested data
OVERDUE = 0.9  # the share of gaps that end before a customer is overdue
QUANTILES = (0.1, 0.5, 0.9)  # of the next order's time


@dataclass(frozen=True)
class Parameters:
    """A fitted model; `alpha` is in days."""

    family: str
    r: float
    alpha: float
    a: float
    b: float

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Parameters:
        """Built from `stored`'s result."""
        return cls(str(stored["family"]), *(float(stored[name]) for name in ("r", "alpha", "a", "b")))

    def stored(self) -> dict[str, Any]:
        """The parameters as JSON."""
        return asdict(self)

    @property
    def shift(self) -> int:
        """The number of chances to leave of a customer without a repeat occasion."""
        return 1 if self.family == "mbg" else 0


def p_alive(model: Parameters, x: Whole, t_x: Whole, t: Whole) -> Floats:
    """The probability that each customer is still active, 0 to 1."""
    chances = model.b + x + (model.shift - 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # BG at x = 0: no customer has left, for any b
        gone = np.log(model.a) - np.log(chances) + (model.r + x) * _log_ratio(model.alpha + t_x, t - t_x)
        alive: Floats = np.exp(-np.logaddexp(0.0, gone))
    return alive if model.shift else np.where(x > 0, alive, 1.0)


def p_order(model: Parameters, alive: Floats, x: Whole, t: Whole, days: float) -> Floats:
    """The probability of at least one order within `days`, where `alive` is p_alive."""
    return alive * -np.expm1(-(model.r + x) * _log_ratio(model.alpha + t, days))


def expected_orders(model: Parameters, x: Whole, t: Whole, days: float) -> Floats:
    """The mean number of occasions of an active customer within `days`; multiply by p_alive for all customers.

    The integral over the probability of leaving, by Gauss-Jacobi quadrature with nodes of its own for each x: the
    closed form has a pole at a = 1 and needs the hypergeometric function.
    """
    levels, of_level = np.unique(x, return_inverse=True)
    nodes, weights = _nodes(model.a, model.b + levels + model.shift)
    total: Floats = np.zeros(len(x))
    for node, weight in zip(nodes.T, weights.T, strict=True):
        p = node[of_level]
        total += weight[of_level] * (-np.expm1(-(model.r + x) * _log_ratio(model.alpha + t, p * days)) / p)
    return total


def next_order(model: Parameters, x: Whole, t: Whole, within: float, quantile: float) -> Floats:
    """Days from now until the next order at this quantile, given that it comes `within` so many days."""
    shape = model.r + x
    share = -np.expm1(-shape * _log_ratio(model.alpha + t, within))
    days: Floats = (model.alpha + t) * np.expm1(-np.log1p(-quantile * share) / shape)
    return days


def overdue_after(model: Parameters, x: Whole, t_x: Whole) -> Floats:
    """Days after the last order from which on the customer is overdue.

    The 90 % point of the gap as it was expected on the day of that order, if the customer was to come back.
    """
    with np.errstate(over="ignore"):
        days: Floats = (model.alpha + t_x) * np.expm1(-np.log(1 - OVERDUE) / (model.r + x))
    return days


def _log_ratio(base: AnyFloats, more: AnyFloats | Whole | float) -> Floats:
    """ln((base + more) / base)."""
    found: Floats = np.log1p(more / base)
    return found


def _nodes(a: float, b: AnyFloats) -> tuple[Floats, Floats]:
    """Nodes and weights that integrate over Beta(a, b), a row per b (Golub and Welsch, 1969).

    They are the eigenvalues of the Jacobi polynomials' matrix, and the squares of its eigenvectors' first components.
    """
    number = np.arange(NODES, dtype=np.float64)
    left, right = a - 1.0, (b - 1.0)[:, None]  # the exponents of p and 1 - p
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = 2 * number + left + right
        diagonal = (left**2 - right**2) / (middle * (middle + 2))
        k = number[1:]
        middle = 2 * k + left + right
        beside = 4 * k * (k + left) * (k + right) * (k + left + right) / (middle**2 * (middle + 1) * (middle - 1))
    diagonal[:, 0] = (left - right[:, 0]) / (left + right[:, 0] + 2)
    sums = left + right[:, 0]
    beside[:, 0] = 4 * (1 + left) * (1 + right[:, 0]) / ((2 + sums) ** 2 * (3 + sums))
    matrix = np.zeros((len(b), NODES, NODES))
    places = np.arange(NODES)
    matrix[:, places, places] = diagonal
    matrix[:, places[1:], places[:-1]] = np.sqrt(beside)
    values, vectors = np.linalg.eigh(matrix)  # reads the lower triangle
    return np.clip((values + 1) / 2, np.finfo(np.float64).tiny, 1.0), vectors[:, 0, :] ** 2
