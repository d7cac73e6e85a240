"""Reading recommendations: a customer's list is made from the profile and the cached model.

A model is loaded by the first read after a publish, and cached while its state is published.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from analytics.recommendations.model import Model
from analytics.recommendations.packing import Packed, unpack
from analytics.recommendations.profiles import Profiles
from analytics.recommendations.scoring import NOT_RANKED, Scores, best, popular_scores, score
from kinds.recommendations import stored
from kinds.recommendations.models import MethodQuality, SegmentPick
from kinds.recommendations.stored import Published
from source.window import date_of
from store.database import driver
from store.published import PublishedState

Whole = NDArray[np.int64]
Method = Literal["personal", "daypart", "global"]

KEPT_MODELS = 2
AT_ONCE = 500  # customers
FEWEST_TOGETHER = 5  # customers behind a reason
_models: OrderedDict[tuple[str, str], Published] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Daypart:
    """A daypart of the published run, and its index in the plan."""

    place: int
    daytime_id: int
    label: str
    windows: list[tuple[int, int]]


@dataclass(frozen=True)
class Reason:
    """Why an item is in a list.

    `orders` is how often the customer ordered it, or how many orders of all customers and guests in the daypart have
    it, or how many customers ordered both it and the item `together_with`.
    """

    kind: Literal["ordered", "together", "popular"]
    orders: int
    last_ordered: date | None = None
    together_with: int | None = None
    together_name: str | None = None


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


def dayparts(state: PublishedState) -> list[Daypart]:
    """The dayparts of the published run."""
    assert state.run.plan is not None
    return [
        Daypart(place, each["daytime_id"], each["label"], [(start, until) for start, until in each["windows"]])
        for place, each in enumerate(state.run.plan["dayparts"])
    ]


def daypart_at(state: PublishedState, at: time) -> Daypart | None:
    """The daypart that covers a time of day."""
    clock = ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000_000 + at.microsecond
    return next(
        (each for each in dayparts(state) if any(start <= clock < until for start, until in each.windows)), None
    )


def model_of(session: Session, state: PublishedState) -> Published:
    """The published model, from the cache if it is there."""
    key = (str(session.connection().engine.url), f"{driver(session).info.dsn} {state.tag}")
    with _lock:
        if key in _models:
            _models.move_to_end(key)
            return _models[key]
    found = stored.load(session, state.generation)
    with _lock:
        _models[key] = found
        while len(_models) > KEPT_MODELS:
            _models.popitem(last=False)
    return found


def rankings(
    session: Session,
    state: PublishedState,
    mobile_ids: Sequence[str],
    daypart: Daypart | None,
    *,
    limit: int,
    mode: str = "auto",
    exclude_bought: bool = False,
) -> list[Ranking]:
    """The lists of these customers, in their order, for a daypart or the time between dayparts."""
    published = model_of(session, state)
    rows = driver(session).execute(
        "SELECT mobile_id, visits, known, hits, wide, items, cells FROM recommendation_profiles"
        " WHERE generation = %s AND mobile_id = ANY(%s)",
        [state.generation, list(mobile_ids)],
        binary=True,
    )
    packed = {row[0]: Packed(*row[1:]) for row in rows.fetchall()}
    known = [mobile_id for mobile_id in dict.fromkeys(mobile_ids) if mobile_id in packed]
    profiles = unpack([packed[mobile_id] for mobile_id in known])
    maker = Maker(published, daypart, limit, mode, exclude_bought)
    found = dict(zip(known, maker.of_customers(known, profiles), strict=True))
    return [found[mobile_id] if mobile_id in found else maker.popular(mobile_id) for mobile_id in mobile_ids]


def examples(session: Session, state: PublishedState) -> list[str]:
    """Three customers: the one who came most often, one in the middle, and one who came least often."""
    query = (
        "SELECT mobile_id FROM (SELECT mobile_id, row_number() OVER (ORDER BY visits DESC, mobile_id) AS place,"
        " count(*) OVER () AS customers FROM recommendation_profiles WHERE generation = %s) AS ranked"
        " WHERE place IN (1, (customers + 1) / 2, customers) ORDER BY place"
    )
    return [mobile_id for (mobile_id,) in driver(session).execute(query, [state.generation]).fetchall()]


def everybody(
    session: Session, state: PublishedState, daypart: Daypart | None, *, limit: int, mode: str = "auto"
) -> Iterator[Ranking]:
    """The lists of all customers with a profile, in order of their ids, in batches."""
    maker = Maker(model_of(session, state), daypart, limit, mode, exclude_bought=False)
    query = "SELECT mobile_id, visits, known, hits, wide, items, cells FROM recommendation_profiles"
    with driver(session).cursor("everybody", binary=True) as cursor:
        cursor.itersize = AT_ONCE
        cursor.execute(f"{query} WHERE generation = %s ORDER BY mobile_id", [state.generation])
        while rows := cursor.fetchmany(AT_ONCE):
            yield from maker.of_customers([row[0] for row in rows], unpack([Packed(*row[1:]) for row in rows]))


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
                return Reason("together", other[1], together_with=item_id, together_name=name)
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


def quality(session: Session, state: PublishedState) -> Sequence[MethodQuality]:
    """Each method's quality in the backtest of the published full run."""
    assert state.run.plan is not None
    run_id = text(
        "(SELECT q.run_id FROM recommendation_quality AS q JOIN analytics_runs AS r USING (run_id)"
        " WHERE r.generation = :generation LIMIT 1)"
    )
    query = select(MethodQuality).where(MethodQuality.run_id == run_id.bindparams(generation=state.generation))
    return session.scalars(query).all()


@dataclass(frozen=True)
class NamedPick:
    """A pick with the item's name."""

    daytime_id: int
    rank: int
    menu_item_id: int
    menu_item_name: str | None
    category: str | None
    orders: int
    share: float
    lift: float
    run_id: UUID
    created_at: datetime


def segment_names(state: PublishedState) -> list[str]:
    """The segments that the published run counted customers in."""
    return sorted((state.run.counts or {}).get("segment_names", []))


def segment_picks(session: Session, state: PublishedState, segment: str) -> list[NamedPick]:
    """The published picks of a segment, by daypart and rank."""
    query = select(SegmentPick).where(SegmentPick.segment == segment, SegmentPick.generation == state.generation)
    names = model_of(session, state).names
    return [
        NamedPick(
            row.daytime_id,
            row.rank,
            row.menu_item_id,
            *names.get(row.menu_item_id, (None, None)),
            row.orders,
            row.share,
            row.lift,
            row.run_id,
            row.created_at,
        )
        for row in session.scalars(query.order_by(SegmentPick.daytime_id, SegmentPick.rank))
    ]
