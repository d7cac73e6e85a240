"""Reading what is known of one item: what customers order with it, and which segments take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from kinds.recommendations.models import SegmentPick
from kinds.recommendations.ranking import FEWEST_TOGETHER
from kinds.recommendations.results import model_of
from store.published import PublishedState


@dataclass(frozen=True)
class Together:
    """An item that the same customers order, and how many customers ordered both."""

    item_id: int
    name: str | None
    customers: int


def together(session: Session, state: PublishedState, item_id: int, limit: int) -> list[Together]:
    """The items most similar to an item, best first; those with too few customers behind them are left out."""
    published = model_of(session, state)
    model = published.model
    found = np.flatnonzero(model.item_ids == item_id)
    if not len(found):
        return []
    place = int(found[0])
    enough = (model.similarity[place] > 0) & (model.pair_customers[place] >= FEWEST_TOGETHER)
    ranked = [column for column in np.argsort(-model.similarity[place], kind="stable").tolist() if enough[column]]
    others = [(int(model.item_ids[model.neighbours[place, column]]), column) for column in ranked[:limit]]
    names = published.names
    return [
        Together(other, names.get(other, (None, None))[0], int(model.pair_customers[place, column]))
        for other, column in others
    ]


def picks_of(session: Session, state: PublishedState, item_id: int) -> Sequence[SegmentPick]:
    """The segments and dayparts among whose published picks the item is, those that take it most above average first.

    `lift` is the segment's share ÷ that of all known customers.
    """
    query = select(SegmentPick).where(SegmentPick.generation == state.generation, SegmentPick.menu_item_id == item_id)
    return session.scalars(query.order_by(SegmentPick.lift.desc(), SegmentPick.segment, SegmentPick.daytime_id)).all()
