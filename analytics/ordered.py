"""Columns in order: where a value differs from the one before, and which transactions lines belong to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]


def differs(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a value differs from the one before it; the first always does."""
    found = np.ones(len(column), dtype=bool)
    np.not_equal(column[1:], column[:-1], out=found[1:])
    return found


def transactions_of(line_ids: Whole, ids: Whole) -> tuple[NDArray[np.bool_], Whole, Whole]:
    """Where the lines of another transaction begin, and each line's number of these; and where each of these
    transactions is among the sorted `ids`, or their number if it is not.

    Looked up once per transaction instead of once per line.
    """
    opens = differs(line_ids)
    named = line_ids[opens]
    place = np.searchsorted(ids, named)
    known = (place < len(ids)) & (np.append(ids, 0)[place] == named)
    return opens, np.cumsum(opens) - 1, np.where(known, place, len(ids))
