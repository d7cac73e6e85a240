"""Recommendations computed customer by customer, as a reference for the vectorized code."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import combinations

from analytics.recommendations.parameters import Parameters

EDGES = (2, 3, 5, 8, 13, 21, 40, 80)


@dataclass(frozen=True)
class Visit:
    """When (a number that rises), on which day, in which daypart, and what was ordered."""

    time: int
    day: int
    daypart: int
    items: frozenset[int]


History = list[Visit]


def bucket(visits: int) -> int:
    return sum(edge <= visits for edge in EDGES)


def weight(gap: int, parameters: Parameters) -> float:
    return 0.5 ** (gap / parameters.half_life) if parameters.half_life else 1.0


def weights(history: History, parameters: Parameters) -> dict[int, float]:
    found: dict[int, float] = {}
    for number, visit in enumerate(history):
        for item in visit.items:
            found[item] = found.get(item, 0.0) + weight(len(history) - 1 - number, parameters)
    return found


@dataclass
class Plain:
    """A model of customers' histories, and of guests' visits, which count for popularity."""

    histories: list[History]
    guests: History
    parameters: Parameters
    items: int
    dayparts: int

    def __post_init__(self) -> None:
        self.visits = [visit for history in [*self.histories, self.guests] for visit in history]
        self.buyers = Counter(item for history in self.histories for item in weights(history, self.parameters))
        self.both = Counter(
            pair for history in self.histories for pair in combinations(sorted(weights(history, self.parameters)), 2)
        )
        self.rebuy = self._rebuy()
        self._learn()

    def orders(self, item: int, daypart: int | None = None) -> int:
        return sum(item in visit.items for visit in self.visits if daypart in (None, visit.daypart))

    def popularity(self, item: int, daypart: int | None) -> float:
        overall = self.orders(item) / max(len(self.visits), 1)
        if daypart is None:
            return overall
        mine = sum(visit.daypart == daypart for visit in self.visits)
        return (self.orders(item, daypart) + 200 * overall) / (mine + 200)

    def _rebuy(self) -> list[float]:
        again, chances = [0] * self.items, [0] * self.items
        for history in self.histories:
            for item in weights(history, self.parameters):
                first = next(number for number, visit in enumerate(history) if item in visit.items)
                later = history[first + 1 :]
                chances[item] += len(later)
                again[item] += sum(item in visit.items for visit in later)
        mean = sum(again) / sum(chances) if sum(chances) else 0.0
        return [(one + 20 * mean) / (all_ + 20) for one, all_ in zip(again, chances, strict=True)]

    def rate(self, history: History, item: int) -> float:
        total = sum(weight(gap, self.parameters) for gap in range(len(history)))
        prior = self.parameters.prior
        return (weights(history, self.parameters)[item] + prior * self.rebuy[item]) / (total + prior)

    def _learn(self) -> None:
        expected, hits, new, rows = [0.0] * 9, [0] * 9, [0] * 9, [0] * 9
        for history in self.histories:
            if len(history) < 2:
                continue
            before, last, place = history[:-1], history[-1].items, bucket(len(history) - 1)
            rows[place] += 1
            known = set(weights(before, self.parameters))
            expected[place] += sum(self.rate(before, item) for item in known)
            hits[place] += len(last & known)
            new[place] += len(last - known)
        overall = sum(hits) / sum(expected) if sum(expected) else 0.0
        mean = sum(new) / sum(rows) if sum(rows) else 1.0
        self.calibration = [(y + 5 * overall) / (x + 5) for y, x in zip(hits, expected, strict=True)]
        self.novelty = [(n + 20 * mean) / (r + 20) for n, r in zip(new, rows, strict=True)]

    def similarity(self, item: int) -> dict[int, float]:
        """Its neighbours: the fifty most similar, of equal ones the most popular."""
        found = {}
        for other in range(self.items):
            both = self.both[min(item, other), max(item, other)] if other != item else 0
            if both >= 2:
                found[other] = both / (math.sqrt(self.buyers[item] * self.buyers[other]) + 10)
        best = sorted(found, key=lambda other: (-round(found[other], 9), -self.orders(other), other))
        return {other: found[other] for other in best[:50]}

    def scores(self, history: History, daypart: int | None) -> list[float]:
        mine, place = weights(history, self.parameters), bucket(len(history))
        time = daypart if self.parameters.by_daypart else None
        popular = [self.popularity(item, time) for item in range(self.items)]
        together = [0.0] * self.items
        for item, count in mine.items():
            for other, similar in self.similarity(item).items():
                together[other] += count * similar
        new = [item for item in range(self.items) if item not in mine]
        all_popular, all_together = sum(popular[item] for item in new), sum(together[item] for item in new)
        found = []
        for item in range(self.items):
            share = self.parameters.together
            q = (1 - share) * (popular[item] / all_popular if all_popular else 0.0)
            q += share * (together[item] / all_together if all_together else 0.0)
            score = self.calibration[place] * self.rate(history, item) if item in mine else 0.0
            if item not in mine or self.parameters.bought_too:
                score += self.novelty[place] * q
            found.append(score)
        return found
