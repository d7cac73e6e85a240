"""Models of outgoing events, for the OpenAPI document; store/events.py stores them, worker/posting.py posts them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from webhook.models import Kind, Mode


class FinishedRun(BaseModel):
    """A finished run, and the last change of segment that is published."""

    run_id: UUID
    kind: Kind
    mode: Mode
    counts: dict[str, int]
    last_change_id: int | None = Field(default=None, description="The newest change in `/segment_changes`.")
    error_code: str | None
    error: str | None


class RunEvent(BaseModel):
    """Posted to each of `EVENT_URLS` for each finished run without an `as_of`, signed as in Standard Webhooks."""

    type: Literal["run.succeeded", "run.failed"]
    timestamp: datetime
    data: FinishedRun


ANSWERS = {
    "2XX": "Delivered.",
    "410": "The receiver no longer exists: all waiting events of this URL are dropped.",
    "default": "Sent again, with the same `webhook-id`, at growing intervals for a day.",
}
