"""Values that follow from a published state and take long to work out: kept in this process until the next publish."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from store.published import PublishedState

T = TypeVar("T")
_known: dict[str, tuple[str, Any]] = {}  # by name: the ETag of the state, and the value


def remembered(name: str, state: PublishedState, work_out: Callable[[], T]) -> T:
    """The value of this name for the published state; callers must not change it."""
    tag, value = _known.get(name, ("", None))
    if tag != state.tag:
        value = work_out()
        _known[name] = (state.tag, value)
    found: T = value
    return found
