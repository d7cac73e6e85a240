"""Which customers a list has and in which order: the same for the API, the pages and the exports."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import BaseModel, Field

from kinds.rfm import results
from kinds.rfm.listing import MOST_SORTED, Filter, Position, Sort
from store.published import PublishedState
from webhook.cursors import closed, opened
from webhook.models import PLAIN
from webhook.problems import Problem


class CustomersFilter(BaseModel):
    """Which customers, and in which order."""

    segment: Annotated[str, Field(max_length=256, pattern=PLAIN)] | None = Field(
        default=None, description="A segment's name, in any case."
    )
    mobile_id_prefix: Annotated[str, Field(max_length=256, pattern=PLAIN)] | None = Field(
        default=None, description="What the ids begin with."
    )
    cluster: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = Field(default=None, description="A cluster's id.")
    overdue: bool | None = Field(
        default=None, description="Only customers who are overdue by their usual intervals, or only the others."
    )
    sort: Sort = Field(
        default="mobile_id",
        description=f"The order; equal values by `mobile_id`. Beyond `mobile_id` at most {MOST_SORTED:,} customers may"
        " be left by the filter.",
    )

    def of(self, state: PublishedState) -> Filter:
        """The filter, with the segment's name as the published map spells it.

        Raises
        ------
        Problem
            422 when there is no such segment.
        """
        names = results.segment_names(state)
        segment = None if self.segment is None else results.segment_named(names, self.segment)
        if segment is None and self.segment is not None:
            told = f"There is no segment of that name; there are {', '.join(names)}."
            raise Problem(422, "unknown_segment", told)
        return Filter(state, segment, self.mobile_id_prefix, self.cluster, self.overdue)


def to_cursor(position: Position) -> str:
    """A position as a cursor: the id, or value and id in another order than by id."""
    value, mobile_id = position.value, position.mobile_id
    return closed(mobile_id if value is None else json.dumps([value, mobile_id]))


def from_cursor(cursor: str, sort: Sort) -> Position:
    """The position that a cursor of a list in this order stands for.

    Raises
    ------
    Problem
        422 if it is not the cursor of a page.
    """
    text = opened(cursor)
    if sort == "mobile_id":
        return Position(None, text)
    try:
        value, mobile_id = json.loads(text)
        if "\0" in mobile_id or not abs(float(value)) <= 1e12:
            raise ValueError
        return Position(str(value), mobile_id)
    except (ValueError, TypeError):
        raise Problem(422, "invalid_cursor", "This is not the next_cursor of a page.") from None
