"""Ranked items with reasons, made from customers' profiles and the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analytics.recommendations.model import Model
from analytics.recommendations.profiles import Profiles
from analytics.recommendations.scoring import NOT_RANKED, Scores, best, popular_scores, score
from kinds.recommendations.stored import Published
from source.window import date_of

Whole = NDArray[np.int64]
Method = Literal["personal", "daypart", "global"]

FEWEST_TOGETHER = 5  # customers behind a reason


@dataclass(frozen=True)
class Daypart:
    """A daypart of the published run, and its index in the plan."""

    place: int
    daytime_id: int
    label: str
    windows: list[tuple[int, int]]


@dataclass(frozen=True)
class OtherItem:
    """The customer's item that a recommended item is often ordered with."""

    item_id: int
    name: str | None


@dataclass(frozen=True)
class Reason:
    """Why an item is in a list.

    `orders` is how often the customer ordered it, or how many orders of all customers and guests in the daypart have
    it, or how many customers ordered both it and the item `together_with`.
    """

    kind: Literal["ordered", "together", "popular"]
    orders: int
    last_ordered: date | None = None
    together_with: OtherItem | None = None


@dataclass(frozen=True)
class Item:
    """A recommended item."""

    item_id: int
    name: str | None
    category: str | None
    rank: int
    score: float
    reason: Reason


@dataclass(frozen=True)
class Ranking:
    """A customer's list and its method; `daypart` is None between dayparts."""

    mobile_id: str
    method: Method
    daypart: Daypart | None
    items: list[Item]


@dataclass(frozen=True)
class Maker:
    """Makes rankings for one daypart from a model."""

    published: Published
    daypart: Daypart | None
    limit: int
    mode: str
    exclude_bought: bool

    @property
    def model(self) -> Model:
        """The model."""
        return self.published.model

    @property
    def place(self) -> int:
        """The daypart's index in the model; the last one is all times of day, also for a daypart without any orders."""
        if self.daypart and self.model.orders[self.daypart.place].any():
            return self.daypart.place
        return len(self.model.popularity) - 1

    @property
    def popular_method(self) -> Method:
        """The method of lists that are not personal."""
        by_daypart = self.place < len(self.model.popularity) - 1
        return "daypart" if by_daypart and self.published.gate.get("daypart") else "global"

    @property
    def is_personal(self) -> bool:
        """Whether customers with a profile get a personal list."""
        return self.mode == "personal" or (self.mode == "auto" and bool(self.published.gate.get("personal")))

    def of_customers(self, mobile_ids: Sequence[str], profiles: Profiles) -> Iterator[Ranking]:
        """The rankings of customers with these profiles."""
        if not mobile_ids:
            return
        scored = score(self.model, profiles, np.full(profiles.customers, self.place))
        for number, mobile_id in enumerate(mobile_ids):
            owned = _Owned.of(scored, profiles, self.model, number)
            values = scored.scores[number] if self.is_personal else self._popular_scores()
            if self.exclude_bought:
                values = np.where(scored.bought[number], NOT_RANKED, values)
            method: Method = "personal" if self.is_personal else self.popular_method
            items = [
                self._item(place, rank, float(values[place]), self._reason(place, scored, number, owned))
                for rank, place in enumerate(best(values, self.limit).tolist(), 1)
            ]
            yield Ranking(mobile_id, method, self.daypart, items)

    def popular(self, mobile_id: str) -> Ranking:
        """The ranking of a customer without a profile."""
        values = self._popular_scores()
        items = [
            self._item(place, rank, float(values[place]), self._popular_reason(place))
            for rank, place in enumerate(best(values, self.limit).tolist(), 1)
        ]
        return Ranking(mobile_id, self.popular_method, self.daypart, items)

    def _popular_scores(self) -> NDArray[np.float64]:
        return popular_scores(self.model, self.place if self.popular_method == "daypart" else -1)

    def _item(self, place: int, rank: int, value: float, reason: Reason) -> Item:
        item_id = int(self.model.item_ids[place])
        name, category = self.published.names.get(item_id, (None, None))
        return Item(item_id, name, category, rank, value, reason)

    def _reason(self, place: int, scored: Scores, number: int, owned: _Owned) -> Reason:
        if place in owned.counts:
            return Reason("ordered", owned.counts[place], last_ordered=date_of(owned.days[place]))
        if self.is_personal and scored.together[number, place] > scored.popular[number, place]:
            other = self._strongest(place, owned)
            if other is not None:
                item_id = int(self.model.item_ids[other[0]])
                name, _ = self.published.names.get(item_id, (None, None))
                return Reason("together", other[1], together_with=OtherItem(item_id, name))
        return self._popular_reason(place)

    def _strongest(self, place: int, owned: _Owned) -> tuple[int, int] | None:
        """The customer's item that contributes most to another's score, and how many customers ordered both."""
        near = self.model.neighbours[owned.places] == place
        terms = np.where(near, owned.weights[:, None] * self.model.similarity[owned.places], 0.0)
        customers = self.model.pair_customers[owned.places]
        terms = np.where(customers >= FEWEST_TOGETHER, terms, 0.0)
        if not terms.size or terms.max() <= 0:
            return None
        row, column = np.unravel_index(int(terms.argmax()), terms.shape)
        return int(owned.places[row]), int(customers[row, column])

    def _popular_reason(self, place: int) -> Reason:
        by_daypart = self.popular_method == "daypart" or (self.is_personal and self.model.parameters.by_daypart)
        return Reason("popular", int(self.model.orders[self.place if by_daypart else -1, place]))


@dataclass(frozen=True)
class _Owned:
    """One customer's ordered items, by place in the model."""

    places: Whole
    weights: NDArray[np.float64]
    counts: dict[int, int]
    days: dict[int, int]

    @classmethod
    def of(cls, scored: Scores, profiles: Profiles, model: Model, number: int) -> _Owned:
        mine = scored.owners == number
        own = slice(profiles.starts[number], profiles.starts[number + 1])
        places = model.places[profiles.items[own]].tolist()
        return cls(
            scored.places[mine],
            scored.weights[mine],
            dict(zip(places, profiles.counts[own].tolist(), strict=True)),
            dict(zip(places, profiles.days[own].tolist(), strict=True)),
        )
