"""`/segment_changes`: who moved, oldest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from flask import Blueprint, Response
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)
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
    """From where on to tell changes."""

    after: Annotated[int, Field(ge=0, lt=BIGINT)] | None = Field(
        default=None, description="`next_after` of the answer before; without it, the oldest change that is kept."
    )
    limit: Limit = 100


class SegmentChange(BaseModel):
    """A customer who moved."""

    model_config = ConfigDict(from_attributes=True)

    change_id: int
    run_id: UUID
    mobile_id: str
    from_segment: str | None = Field(description="null: a new customer.")
    to_segment: str | None = Field(description="null: no customer any more.")
    changed_at: datetime
    reason: Literal["behaviour", "cut_points", "settings"] = Field(
        description="`behaviour`: the customer's own orders, or their absence; `cut_points`: the others moved;"
        " `settings`: they were changed."
    )

    @classmethod
    def of(cls, change: Change) -> SegmentChange:
        """From its row."""
        return cls.model_validate(change)


class Changes(BaseModel):
    """Who moved, oldest first."""

    changes: list[SegmentChange]
    next_after: int = Field(description="Ask with it as `after` for what follows; nothing is skipped.")
    has_more: bool


@blueprint.get("/segment_changes")
@described(answer=Changes, query=ChangesQuery, problems=(404, 410), cached=True)
def segment_changes() -> Response:
    """Who moved, oldest first; a cursor older than what is kept gets 410: read all customers, and begin anew."""
    asked = query(ChangesQuery)

    def answer(session: Session, state: PublishedState) -> Changes:
        told = results.changes_after(session, asked.after, asked.limit + 1)
        if told is None:
            raise Problem(410, "cursor_too_old", "Changes after this one are no longer kept; read all customers anew.")
        page = [SegmentChange.of(change) for change in told[: asked.limit]]
        return Changes(
            changes=page,
            next_after=page[-1].change_id if page else max(asked.after or 0, state.changes_dropped_to),
            has_more=len(told) > asked.limit,
        )

    return read("rfm", answer)
