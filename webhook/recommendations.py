"""`/recommendations`: ranked items for customers, with reasons, and the quality of such lists in the backtest; long,
since the models of all answers stand beside their views.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Annotated, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, current_app
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.orm import Session

from kinds.recommendations import described as words
from kinds.recommendations import results
from kinds.recommendations.ranking import Ranking
from settings import Settings
from store.published import PublishedState
from webhook.access import authorize
from webhook.described import body, described, query
from webhook.models import PLAIN, Body
from webhook.problems import Problem
from webhook.reading import read

blueprint = Blueprint("recommendations", __name__)
blueprint.before_request(authorize)

KIND = "recommendations"
MOST = 100  # items of a list, and customers of a request
CLOCK = r"^(now|([01][0-9]|2[0-3]):[0-5][0-9])$"

At = Annotated[str, Field(pattern=CLOCK)]
DaytimeId = Annotated[int, Field(ge=-(2**31), lt=2**31)]
ListLimit = Annotated[int, Field(ge=1, le=MOST)]
MobileId = Annotated[str, Field(pattern=PLAIN)]


class Wanted(BaseModel):
    """The time of a list, its length, and whether it includes items that the customer has ordered."""

    at: At | None = Field(default=None, examples=["12:30", "now"], description="By default now.")
    daytime_id: DaytimeId | None = None
    limit: ListLimit | None = Field(default=None, description="By default TOP_N, at most 100.")
    exclude_bought: bool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.daytime_id is not None and self.at is not None:
            raise ValueError("daytime_id and at can't both be given")
        return self


class RecommendationsQuery(Wanted):
    """A customer's id, the time, and the number of items."""

    mobile_id: MobileId | None = Field(
        default=None, description="One customer, as with the id in the path; for any id."
    )


class RecommendationsBody(Body, Wanted):
    """Up to 100 customers' ids, the time, and the number of items."""

    mobile_ids: list[MobileId] = Field(max_length=MOST)


class RecommendedDaypart(BaseModel):
    """A window of local time."""

    daytime_id: int
    daytime_label: str


class OtherItem(BaseModel):
    """The customer's item that a recommended item is often ordered with."""

    model_config = ConfigDict(from_attributes=True)

    item_id: int
    name: str | None


class Reason(BaseModel):
    """Why an item is in a list.

    `ordered`: the customer ordered it `orders` times, last on `last_ordered`, a business date. `together`: `orders`
    customers ordered both it and the customer's item `with`. `popular`: `orders` orders of all customers and guests
    have it, in the daypart or at all times of day.
    """

    model_config = ConfigDict(from_attributes=True, serialize_by_alias=True)

    kind: Literal["ordered", "together", "popular"]
    orders: int
    last_ordered: date | None = None
    together_with: OtherItem | None = Field(default=None, serialization_alias="with")


class RecommendedItem(BaseModel):
    """An item of a list, best first."""

    model_config = ConfigDict(from_attributes=True)

    item_id: int
    name: str | None
    category: str | None
    rank: int
    score: float
    reason: Reason


class CustomerRecommendations(BaseModel):
    """One customer's list and its method; `daypart` is null between dayparts."""

    mobile_id: str
    method: Literal["personal", "daypart", "global"]
    daypart: RecommendedDaypart | None
    run_id: UUID
    items: list[RecommendedItem]


class ManyRecommendations(BaseModel):
    """The lists of several customers, in the order of the request."""

    recommendations: list[CustomerRecommendations]


class MethodQuality(BaseModel):
    """The quality of a method's lists of ten on the visits that followed, averaged over the folds.

    `recall` is the share of a visit's items that the list has; `ndcg` gives higher ranks more weight; `hit_rate` is the
    share of visits with at least one hit; `repeat_share` is the share of hits that the customer had ordered before;
    `coverage` is the share of all items that are in at least one list; `z` is the gain minus the simpler methods', in
    standard errors.
    """

    model_config = ConfigDict(from_attributes=True)

    method: Literal["personal", "daypart", "global"]
    customers: int
    recall: float
    ndcg: float
    hit_rate: float
    repeat_share: float
    coverage: float
    z: float
    published: bool


class RecommendationQuality(BaseModel):
    """The backtest of the last full run, as figures and as sentences."""

    run_id: UUID
    as_of: datetime
    summary: list[str]
    methods: list[MethodQuality]


@blueprint.get("/recommendations")
@described(answer=CustomerRecommendations, query=RecommendationsQuery, problems=(404,), cached=True)
def by_query() -> Response:
    """Recommended items for the customer with this id."""
    params = query(RecommendationsQuery)
    if params.mobile_id is None:
        raise Problem(422, "mobile_id_missing", "Name the customer by mobile_id, or in the path.")
    return _one(params.mobile_id, params)


@blueprint.get("/recommendations/<path:mobile_id>")
@described(answer=CustomerRecommendations, query=Wanted, problems=(404,), cached=True)
def by_path(mobile_id: str) -> Response:
    """Recommended items for one customer."""
    return _one(mobile_id, query(Wanted))


@blueprint.post("/recommendations")
@described(answer=ManyRecommendations, body=RecommendationsBody, problems=(404,), cached=True, reads=True)
def many() -> Response:
    """Recommended items for up to 100 customers."""
    params = body(RecommendationsBody)

    def answer(session: Session, state: PublishedState) -> ManyRecommendations:
        return ManyRecommendations(recommendations=_lists(session, state, params.mobile_ids, params))

    return read(KIND, answer, also=_moment(params), conditional=False)


@blueprint.get("/recommendation_quality")
@described(answer=RecommendationQuality, problems=(404,), cached=True)
def recommendation_quality() -> Response:
    """The quality of the lists in the backtest of the last full run."""

    def answer(session: Session, state: PublishedState) -> RecommendationQuality:
        found = results.quality(session, state)
        return RecommendationQuality(
            run_id=found[0].run_id,
            as_of=state.as_of,
            summary=words.quality(found),
            methods=[MethodQuality.model_validate(each) for each in found],
        )

    return read(KIND, answer)


def _one(mobile_id: str, params: Wanted) -> Response:
    def answer(session: Session, state: PublishedState) -> CustomerRecommendations:
        return _lists(session, state, [mobile_id], params)[0]

    return read(KIND, answer, also=_moment(params))


def _moment(params: Wanted) -> str:
    """The part of the ETag for the requested time of day and the mode."""
    settings: Settings = current_app.config["SETTINGS"]
    moment = f"{_clock(params.at, settings):%H%M}" if params.daytime_id is None else ""
    return f"{moment}{settings.recommendation_mode}"


def _lists(
    session: Session, state: PublishedState, mobile_ids: Sequence[str], params: Wanted
) -> list[CustomerRecommendations]:
    settings: Settings = current_app.config["SETTINGS"]
    if params.daytime_id is None:
        daypart = results.daypart_at(state, _clock(params.at, settings))
    else:
        daypart = next((each for each in results.dayparts(state) if each.daytime_id == params.daytime_id), None)
        if daypart is None:
            raise Problem(404, "daypart_not_found", f"There is no daypart {params.daytime_id}.")
    known = [each.replace("\x00", "") if "\x00" in each else each for each in mobile_ids]
    limit = min(settings.top_n, MOST) if params.limit is None else params.limit
    mode, without = settings.recommendation_mode, params.exclude_bought
    found = results.rankings(session, state, known, daypart, limit=limit, mode=mode, exclude_bought=without)
    return [_shown(ranking, mobile_id, state) for mobile_id, ranking in zip(mobile_ids, found, strict=True)]


def _clock(at: str | None, settings: Settings) -> time:
    return datetime.now(ZoneInfo(settings.timezone)).time() if at in (None, "now") else time.fromisoformat(str(at))


def _shown(ranking: Ranking, mobile_id: str, state: PublishedState) -> CustomerRecommendations:
    daypart = ranking.daypart
    return CustomerRecommendations(
        mobile_id=mobile_id,
        method=ranking.method,
        daypart=RecommendedDaypart(daytime_id=daypart.daytime_id, daytime_label=daypart.label) if daypart else None,
        run_id=state.run.run_id,
        items=[RecommendedItem.model_validate(item) for item in ranking.items],
    )
