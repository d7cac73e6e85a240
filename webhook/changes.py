"""`/segment_changes`: customers who changed their segment, oldest change first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from kinds.rfm import results
from kinds.rfm.models import Change
from store.published import PublishedState
from webhook.access import authorize
from webhook.described import described, query
from webhook.models import BIGINT, Limit
from webhook.problems import Problem
from webhook.reading import read

blueprint = Blueprint("changes", __name__)
blueprint.before_request(authorize)


class ChangesQuery(BaseModel):
    """After which change to start."""

    after: Annotated[int, Field(ge=0, lt=BIGINT)] | None = Field(
        default=None, description="`next_after` of the previous answer; by default from the oldest stored change."
    )
    limit: Limit = 100


class SegmentChange(BaseModel):
    """A customer's change of segment."""

    model_config = ConfigDict(from_attributes=True)

    change_id: int
    run_id: UUID
    mobile_id: str
    from_segment: str | None = Field(description="null: a new customer.")
    to_segment: str | None = Field(description="null: the customer has no segment any more.")
    changed_at: datetime
    reason: Literal["behaviour", "cut_points", "settings"] = Field(
        description="`behaviour`: the customer's own orders, or their absence; `cut_points`: other customers' values"
        " moved the cut points; `settings`: settings or the segment map were changed."
    )

    @classmethod
    def of(cls, change: Change) -> SegmentChange:
        """Built from its row."""
        return cls.model_validate(change)


class Changes(BaseModel):
    """Changes of segment, oldest first."""

    changes: list[SegmentChange]
    next_after: int = Field(description="Send it as `after` to get the following changes; none is skipped.")
    has_more: bool


@blueprint.get("/segment_changes")
@described(answer=Changes, query=ChangesQuery, problems=(404, 410), cached=True)
def segment_changes() -> Response:
    """Changes of segment, oldest first; 410 if changes after `after` were deleted: read all customers again."""
    params = query(ChangesQuery)

    def answer(session: Session, state: PublishedState) -> Changes:
        changes = results.changes_after(session, params.after, params.limit + 1)
        if changes is None:
            raise Problem(410, "cursor_too_old", "Changes after this one were deleted; read all customers again.")
        page = [SegmentChange.of(change) for change in changes[: params.limit]]
        return Changes(
            changes=page,
            next_after=page[-1].change_id if page else max(params.after or 0, state.changes_dropped_to),
            has_more=len(changes) > params.limit,
        )

    return read("rfm", answer)
