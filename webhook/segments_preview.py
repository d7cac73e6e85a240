"""`POST /rfm_segments_preview`: the published customers under another segment map; nothing is written."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from flask import Blueprint, Response, current_app
from pydantic import BaseModel, ConfigDict, Field

from kinds.rfm.preview import map_of, preview
from settings import Settings
from store.database import snapshot
from store.published import published
from webhook.access import authorize
from webhook.cut_points import CutPoints
from webhook.described import answered, body, described
from webhook.models import Body
from webhook.problems import Problem

blueprint = Blueprint("segments_preview", __name__)
blueprint.before_request(authorize)


class MonetaryTable(Body):
    """The measure that M scores."""

    model_config = ConfigDict(extra="forbid")

    measure: Literal["total", "average"] = "total"


class ExcludeTable(Body):
    """Customers to exclude."""

    model_config = ConfigDict(extra="forbid")

    mobile_ids: list[str] = Field(default=[])


class MapTables(Body):
    """The tables of a segment map's file, as JSON; by default the built-in segments."""

    model_config = ConfigDict(extra="forbid")

    segments: dict[str, str | list[str]] | None = Field(
        default=None, description="Segment names with their codes; all 125 codes once."
    )
    cut_points: dict[Literal["recency_days", "frequency", "monetary"], list[Decimal]] = Field(
        default_factory=dict, description="Four increasing numbers each.", examples=[{"frequency": [0, 1, 3, 7]}]
    )
    monetary: MonetaryTable = Field(default_factory=MonetaryTable)
    exclude: ExcludeTable = Field(default_factory=ExcludeTable)


class SegmentBeside(BaseModel):
    """A segment under the map, and as published."""

    model_config = ConfigDict(from_attributes=True)

    segment: str
    customers: int
    revenue: Decimal
    published_customers: int
    published_revenue: Decimal


class Move(BaseModel):
    """How many customers would move from one segment to another."""

    model_config = ConfigDict(from_attributes=True)

    from_segment: str
    to_segment: str | None = Field(description="null: they are excluded.")
    customers: int
    revenue: Decimal


class MovingCustomer(BaseModel):
    """A customer who would move."""

    model_config = ConfigDict(from_attributes=True)

    mobile_id: str
    recency_days: int
    frequency: int
    monetary: Decimal
    from_segment: str
    to_segment: str | None
    rfm_score: str = Field(description="As published.")
    new_rfm_score: str | None


class SegmentsPreview(BaseModel):
    """The published customers under the map."""

    run_id: UUID = Field(description="The published run whose customers were scored.")
    as_of: datetime
    customers: int
    moved: int
    excluded: int = Field(description="Published customers whom the map excludes.")
    unknown_ids: int = Field(description="Ids that the published map excludes and this one does not; not shown here.")
    cut_points: CutPoints
    segments: list[SegmentBeside]
    moves: list[Move]
    sample: list[MovingCustomer] = Field(description="Up to 20 customers who would move.")


@blueprint.post("/rfm_segments_preview")
@described(answer=SegmentsPreview, body=MapTables, problems=(404,), reads=True)
def segments_preview() -> Response:
    """The published customers under another segment map; nothing is written."""
    tables = body(MapTables)
    wanted = map_of(tables.model_dump(exclude_none=True))
    settings: Settings = current_app.config["SETTINGS"]
    with snapshot(settings.database_url) as session:
        state = published(session, "rfm")
        if state is None:
            raise Problem(404, "no_results", "No rfm run has been published yet.")
        found = preview(session, state, wanted)
    return answered(
        SegmentsPreview(
            run_id=state.run.run_id,
            as_of=state.as_of,
            customers=found.customers,
            moved=found.moved,
            excluded=found.excluded,
            unknown_ids=found.unknown_ids,
            cut_points=CutPoints.of(found.cut_points),
            segments=[SegmentBeside.model_validate(each) for each in found.segments],
            moves=[Move.model_validate(each) for each in found.moves],
            sample=[MovingCustomer.model_validate(each) for each in found.sample],
        )
    )
