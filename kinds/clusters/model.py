"""The model in service as it is stored: the features' scale, the clusters' centres, ids and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics import behaviour, clustering, drift
from analytics.behaviour import THOUSANDTHS, Counts, Floats, Scale, Whole


@dataclass(frozen=True)
class Clusters:
    """A fitted model; `dayparts` and `categories` are the columns of the counts it was trained on."""

    scale: Scale
    centres: Whole
    ids: Sequence[int]
    stability: float
    next_id: int
    texts: Mapping[str, Sequence[str]]  # by id: name and description
    bins: Mapping[str, Mapping[str, list[Any]]]

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Clusters:
        """The model from a stored version's parameters."""
        return cls(
            Scale.of(params["scale"]),
            np.array(params["centres"], dtype=np.int64),
            list(params["ids"]),
            float(params["stability"]),
            int(params["next_id"]),
            params["texts"],
            params["bins"],
        )

    def stored(self) -> dict[str, Any]:
        """The parameters as JSON."""
        return {
            "scale": self.scale.stored(),
            "centres": self.centres.tolist(),
            "ids": list(self.ids),
            "stability": self.stability,
            "next_id": self.next_id,
            "texts": {key: list(texts) for key, texts in self.texts.items()},
            "bins": self.bins,
        }

    def points(self, counts: Counts, plan: Mapping[str, Any]) -> Whole:
        """Customers' features in this model's scale."""
        return behaviour.features(counts, self.scale, *columns(plan))

    def assigned(self, points: Whole) -> tuple[Whole, Floats]:
        """Each customer's cluster, and the distance to its centre in standard deviations."""
        place, squares = clustering.nearest(points, self.centres)
        return np.array(self.ids, dtype=np.int64)[place], np.round(np.sqrt(squares) / THOUSANDTHS, 9)

    def drifted(self, points: Whole) -> dict[str, Any]:
        """The drift of each feature since the training (see analytics/drift.py)."""
        found = {}
        for place, name in enumerate(self.scale.names):
            expected = self.bins[name]["counts"]
            now = drift.counts(points[:, place].astype(np.float64), self.bins[name]["edges"])
            index, limit = drift.psi(expected, now), drift.limit(expected, now)
            found[name] = {"psi": round(index, 6), "limit": round(limit, 6), "alarm": index > limit}
        return found


def bins_of(points: Whole, names: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """Ten bins per feature, with the number of customers in each."""
    found: dict[str, dict[str, list[Any]]] = {}
    for place, name in enumerate(names):
        values = points[:, place].astype(np.float64)
        edges = drift.edges(values)
        found[name] = {"edges": edges, "counts": drift.counts(values, edges)}
    return found


def columns(plan: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The names of a run's dayparts and categories, as its counts have them."""
    return [daypart["name"] for daypart in plan["dayparts"]], list(plan["categories"])


def missing_features(scale: Scale, plan: Mapping[str, Any]) -> list[str]:
    """The model's features that a run's dayparts and categories no longer have."""
    dayparts, categories = columns(plan)
    known = {f"daypart:{name}" for name in dayparts} | {f"category:{name}" for name in categories}
    return [name for name in scale.names if ":" in name and name not in known]
