"""`/menu_recommendations`: what to offer at a time of day."""

from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, current_app
from sqlalchemy.orm import Session

from kinds.menu import results
from kinds.menu.results import RankedDaypart
from settings import Settings
from store.published import PublishedState
from webhook.access import authorize
from webhook.described import described, query
from webhook.models import Daypart, DaypartMenu, MenuQuery, Recommendation, WholeMenu
from webhook.problems import Problem
from webhook.reading import read

blueprint = Blueprint("menu", __name__)
blueprint.before_request(authorize)


@blueprint.get("/menu_recommendations")
@described(answer=(DaypartMenu, WholeMenu), query=MenuQuery, problems=(404,), cached=True)
def menu_recommendations() -> Response:
    """Ranked items of the daypart with an id, of the one at a time of day or now, or of all."""
    asked = query(MenuQuery)
    settings: Settings = current_app.config["SETTINGS"]
    at = _clock(asked.at, settings.timezone) if asked.at else None

    def answer(session: Session, state: PublishedState) -> DaypartMenu | WholeMenu:
        if at is not None:
            found = results.menu(session, at)
            return _shown(found[0]) if found else DaypartMenu(daypart=None, items=[])
        dayparts = results.menu(session)
        if asked.daytime_id is None:
            return WholeMenu(
                run_id=state.run.run_id, as_of=state.as_of, dayparts=[_shown(daypart) for daypart in dayparts]
            )
        for daypart in dayparts:
            if daypart.daytime_id == asked.daytime_id:
                return _shown(daypart)
        raise Problem(404, "daypart_not_found", f"There is no daypart {asked.daytime_id}.")

    return read("menu", answer, also=f"{at:%H%M}" if at else "")


def _clock(at: str, timezone: str) -> time:
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
