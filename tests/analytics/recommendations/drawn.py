"""Histories that hypothesis draws, as plain visits and as arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from analytics.recommendations.histories import Histories
from tests.analytics.recommendations.plain import History, Visit

ITEMS, DAYPARTS = 6, 3

VISITS = st.builds(
    Visit,
    st.integers(0, 10_000),
    st.integers(-40_000, 40_000) | st.integers(9_000, 9_400),
    st.integers(0, DAYPARTS - 1),
    st.frozensets(st.integers(0, ITEMS - 1), min_size=1, max_size=4),
)
HISTORIES = st.lists(
    st.lists(VISITS, max_size=9, unique_by=lambda visit: visit.time).map(
        lambda visits: sorted(visits, key=lambda visit: visit.time)
    ),
    min_size=1,
    max_size=8,
)


def arrays(histories: list[History], seed: int = 0) -> Histories:
    """The same histories, from rows in an order of chance."""
    rows = [(customer, visit) for customer, history in enumerate(histories) for visit in history]
    np.random.default_rng(seed).shuffle(rows)  # type: ignore[arg-type]  # rows of two

    def column(values: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array(values, dtype=np.int64)

    return Histories.of_rows(
        column([customer for customer, _ in rows]),
        column([visit.time for _, visit in rows]),
        column([place for place, _ in enumerate(rows)]),
        column([visit.day for _, visit in rows]),
        column([visit.daypart for _, visit in rows]),
        column([len(visit.items) for _, visit in rows]),
        column([item for _, visit in rows for item in sorted(visit.items, reverse=True)]),
        len(histories),
    )
