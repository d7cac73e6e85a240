"""`/menu_recommendations`: the ranked items of each daypart."""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from typing import Annotated, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, current_app
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator
from sqlalchemy.orm import Session

from kinds.menu import results
from kinds.menu.results import RankedDaypart
from settings import Settings
from store.published import PublishedState
from webhook.access import authorize
from webhook.described import described, query
from webhook.models import PLAIN
from webhook.problems import Problem
from webhook.reading import read
from webhook.segment_menu import SegmentMenu, segment_menu

blueprint = Blueprint("menu", __name__)
blueprint.before_request(authorize)


Quantity = Annotated[
    Decimal,
    PlainSerializer(lambda value: int(value) if value == int(value) else float(value), return_type=int | float),
    Field(description="Pieces or weight, to thousandths; a whole number is an integer."),
]


class DaypartQuery(BaseModel):
    """A daypart by its id, the one at a time of day in the restaurant's time zone, or all; maybe of some weekdays."""

    daytime_id: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    at: Annotated[str, Field(pattern=r"^(now|([01][0-9]|2[0-3]):[0-5][0-9])$")] | None = Field(
        default=None, examples=["12:30", "now"]
    )
    day: Literal["weekday", "weekend", "1", "2", "3", "4", "5", "6", "7"] | None = Field(
        default=None, description="Only orders of these days, by the business date's weekday; 1 is Monday."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.daytime_id is not None and self.at is not None:
            raise ValueError("daytime_id and at can't both be given")
        return self


class MenuQuery(DaypartQuery):
    """A daypart by its id, the one at a time of day in the restaurant's time zone, or all; or a segment's."""

    segment: Annotated[str, Field(max_length=256, pattern=PLAIN)] | None = Field(
        default=None, description="What this segment's customers order most; its name, in any case."
    )


class Daypart(BaseModel):
    """A window of local time; `end_time` is inclusive of its whole minute."""

    daytime_id: int
    daytime_label: str
    start_time: str
    end_time: str


class Recommendation(BaseModel):
    """A row of `menu_recommendation`, with the item's name and category."""

    model_config = ConfigDict(from_attributes=True)

    rank: int
    menu_item_id: int
    menu_item_name: str | None
    category: str | None
    orders: int
    quantity: Quantity
    share: float
    run_id: UUID
    created_at: datetime
    previous_rank: int | None = Field(description="A week before, over all days; null: not ranked then, or not known.")


class DaypartMenu(BaseModel):
    """A daypart's items, best first; null and no items for a time between dayparts."""

    daypart: Daypart | None
    items: list[Recommendation]


class WholeMenu(BaseModel):
    """All dayparts."""

    run_id: UUID
    as_of: datetime
    dayparts: list[DaypartMenu]


@blueprint.get("/menu_recommendations")
@described(answer=(DaypartMenu, WholeMenu, SegmentMenu), query=MenuQuery, problems=(404,), cached=True)
def menu_recommendations() -> Response:
    """The ranked items of one daypart (`daytime_id`, or `at` a time of day or now), or of all; `day` for weekdays."""
    params = query(MenuQuery)
    settings: Settings = current_app.config["SETTINGS"]
    at = clock(params.at, settings.timezone) if params.at else None
    if params.segment is not None:
        return segment_menu(params.segment, params.daytime_id, at)

    def answer(session: Session, state: PublishedState) -> DaypartMenu | WholeMenu:
        if at is not None:
            found = results.menu(session, at, params.day)
            return _shown(found[0]) if found else DaypartMenu(daypart=None, items=[])
        dayparts = results.menu(session, day=params.day)
        if params.daytime_id is None:
            return WholeMenu(
                run_id=state.run.run_id, as_of=state.as_of, dayparts=[_shown(daypart) for daypart in dayparts]
            )
        for daypart in dayparts:
            if daypart.daytime_id == params.daytime_id:
                return _shown(daypart)
        raise Problem(404, "daypart_not_found", f"There is no daypart {params.daytime_id}.")

    return read("menu", answer, also=f"{at:%H%M}" if at else "")


def clock(at: str, timezone: str) -> time:
    """A time of day, HH:MM or `now` in a time zone."""
    return datetime.now(ZoneInfo(timezone)).time() if at == "now" else time.fromisoformat(at)


def _shown(daypart: RankedDaypart) -> DaypartMenu:
    return DaypartMenu(
        daypart=Daypart(
            daytime_id=daypart.daytime_id,
            daytime_label=daypart.label,
            start_time=daypart.start_time,
            end_time=daypart.end_time,
        ),
        items=[Recommendation.model_validate(item) for item in daypart.items],
    )
