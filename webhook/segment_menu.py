"""`/menu_recommendations?segment=`: what a segment's customers order most in each daypart."""

from __future__ import annotations

from datetime import datetime, time
from uuid import UUID

from flask import Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from kinds.recommendations import results
from store.published import PublishedState
from webhook.problems import Problem
from webhook.reading import read


class SegmentItem(BaseModel):
    """A row of `segment_recommendation` with its names.

    `share` is the share of the segment's visits in the daypart that have the item, `lift` that share ÷ the one of all
    known customers.
    """

    model_config = ConfigDict(from_attributes=True)

    rank: int
    menu_item_id: int
    menu_item_name: str | None
    category: str | None
    orders: int
    share: float
    lift: float
    run_id: UUID
    created_at: datetime


class SegmentDaypart(BaseModel):
    """A daypart with the segment's items, best first."""

    daytime_id: int
    daytime_label: str
    items: list[SegmentItem]


class SegmentMenu(BaseModel):
    """A segment's dayparts: the requested one, or all; none between dayparts."""

    segment: str
    run_id: UUID
    as_of: datetime
    dayparts: list[SegmentDaypart]


def segment_menu(segment: str, daytime_id: int | None, at: time | None) -> Response:
    """What the segment orders in the daypart with an id, the one at a time of day, or all."""

    def answer(session: Session, state: PublishedState) -> SegmentMenu:
        names = results.segment_names(state)
        found = next((name for name in names if name.casefold() == segment.casefold()), None)
        if found is None:
            known = ", ".join(names) or "none, since no segments were published when it was computed"
            raise Problem(422, "unknown_segment", f"There is no segment of that name; there are {known}.")
        dayparts = results.dayparts(state)
        if daytime_id is not None:
            dayparts = [each for each in dayparts if each.daytime_id == daytime_id]
            if not dayparts:
                raise Problem(404, "daypart_not_found", f"There is no daypart {daytime_id}.")
        elif at is not None:
            covering = results.daypart_at(state, at)
            dayparts = [covering] if covering else []
        picks = results.segment_picks(session, state, found)
        return SegmentMenu(
            segment=found,
            run_id=state.run.run_id,
            as_of=state.as_of,
            dayparts=[
                SegmentDaypart(
                    daytime_id=daypart.daytime_id,
                    daytime_label=daypart.label,
                    items=[SegmentItem.model_validate(pick) for pick in picks if pick.daytime_id == daypart.daytime_id],
                )
                for daypart in dayparts
            ],
        )

    return read("recommendations", answer, also=f"{at:%H%M}" if at else "")
