"""The stored form of a model: repeat buying, spending, and histograms of its training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics import btyd, drift
from analytics.btyd import Floats, Whole
from analytics.btyd_fit import Cells
from analytics.spending import Spending
from analytics.training import Model

DIGITS = 9  # of probabilities and expectations, so that orderings use the shown values
HORIZON = 90  # days
RETURNS = 0.2  # below this probability of an order within the horizon no time is given
NEVER = -1  # instead of a day

Bins = Mapping[str, Mapping[str, list[Any]]]


@dataclass(frozen=True)
class Predictor:
    """A model that scores customers."""

    model: Model
    spending: Spending
    bins: Bins

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Predictor:
        """Built from a stored version's parameters."""
        return cls(Model.of(params), Spending.of(params["spending"]), params["bins"])

    def stored(self) -> dict[str, Any]:
        """The parameters as JSON."""
        return self.model.stored() | {"spending": self.spending.stored(), "bins": self.bins}

    def scores(self, x: Whole, t_x: Whole, t: Whole) -> dict[str, Floats | np.typing.NDArray[np.int32]]:
        """Predictions for customers with these histories; times in days from today, or after the last occasion."""
        parameters = self.model.parameters
        alive = btyd.p_alive(parameters, x, t_x, t)
        orders = alive * btyd.expected_orders(parameters, x, t, HORIZON)
        p = self.model.p_order(x, t_x, t)
        p_90d = np.round(p[HORIZON], DIGITS)
        found: dict[str, Floats | np.typing.NDArray[np.int32]] = {
            "p_alive": np.round(alive, DIGITS),
            "p_order_30d": np.round(p[30], DIGITS),
            "p_order_90d": p_90d,
            "expected_orders_90d": np.round(orders, DIGITS),
        }
        for name, quantile in zip(("next_from", "next_median", "next_to"), btyd.QUANTILES, strict=True):
            days = np.ceil(np.round(btyd.next_order(parameters, x, t, HORIZON, quantile), DIGITS))
            found[name] = np.where(p_90d >= RETURNS, np.clip(days, 1, HORIZON), NEVER).astype(np.int32)
        limit = np.floor(np.round(np.minimum(btyd.overdue_after(parameters, x, t_x), 2.0**30), DIGITS)) + 1
        found["overdue_after"] = np.where((x > 0) & (t - t_x >= limit), limit, NEVER).astype(np.int32)
        return found

    def drifted(self, cells: Cells) -> dict[str, Any]:
        """The drift of customers since the training, by feature (see analytics/drift.py)."""
        found = {}
        for name, counts in histogram(cells, {name: each["edges"] for name, each in self.bins.items()}).items():
            expected = self.bins[name]["counts"]
            index, limit = drift.psi(expected, counts), drift.limit(expected, counts)
            found[name] = {"psi": round(index, 6), "limit": round(limit, 6), "alarm": index > limit}
        return found


def bins_of(cells: Cells) -> Bins:
    """Ten bins of each feature, with how many customers are in each."""
    edges = {
        name: drift.edges(np.repeat(values, cells.count).astype(np.float64))
        for name, values in _features(cells).items()
    }
    return {name: {"edges": edges[name], "counts": counts} for name, counts in histogram(cells, edges).items()}


def histogram(cells: Cells, edges: Mapping[str, list[float]]) -> dict[str, list[int]]:
    """How many customers are in each feature's bins."""
    features = _features(cells)
    found = {}
    for name, at in edges.items():
        place = np.searchsorted(np.array(at), features[name], side="right")
        found[name] = [int(count) for count in np.bincount(place, cells.count, len(at) + 1)]
    return found


def _features(cells: Cells) -> dict[str, Whole]:
    return {"repeat_occasions": cells.x, "days_since_last": cells.t - cells.t_x, "days_since_first": cells.t}
