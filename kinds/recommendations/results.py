"""Reading recommendations: customers' lists, the quality of such lists, and segments' picks.

A model is loaded by the first read after a publish, and cached while its state is published.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from analytics.recommendations.packing import Packed, unpack
from kinds.recommendations import stored
from kinds.recommendations.models import MethodQuality, SegmentPick
from kinds.recommendations.ranking import Daypart, Maker, Ranking
from kinds.recommendations.stored import Published
from store.database import driver
from store.published import PublishedState

KEPT_MODELS = 2
AT_ONCE = 500  # customers
_models: OrderedDict[tuple[str, str], Published] = OrderedDict()
_lock = threading.Lock()


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
