"""Outgoing events as the OpenAPI document describes them; `store/events.py` writes them, a task posts them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from webhook.models import Kind, Mode


class FinishedRun(BaseModel):
    """A run that has ended, and where its results have brought readers to."""

    run_id: UUID
    kind: Kind
    mode: Mode
    counts: dict[str, int]
    last_change_id: int | None = Field(
        default=None, description="Segments only: read `/segment_changes` up to this change."
    )
    error_code: str | None
    error: str | None


class RunEvent(BaseModel):
    """What each of `EVENT_URLS` gets for each finished run without an `as_of`, signed as Standard Webhooks say."""

    type: Literal["run.succeeded", "run.failed"]
    timestamp: datetime
    data: FinishedRun


ANSWERS = {
    "2XX": "Delivered.",
    "410": "Delivered to nobody any more: nothing is sent to this URL again.",
    "default": "Sent again, with the same `webhook-id`, at growing intervals for a day.",
}
