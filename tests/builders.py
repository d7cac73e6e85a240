"""Small restaurants for tests: by hand, or drawn by hypothesis from what goes wrong in real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from tests.oracle import DEFAULT_DAYPARTS, Rules

ZONES = ("UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
# Around both changes of the clocks of the zones above, and an ordinary day between.
MOMENTS = (
    datetime(2025, 3, 30, 1, tzinfo=UTC),
    datetime(2025, 10, 26, 1, tzinfo=UTC),
    datetime(2025, 11, 2, 6, tzinfo=UTC),
    datetime(2025, 4, 5, 15, tzinfo=UTC),
    datetime(2025, 7, 1, 4, tzinfo=UTC),
)
AMOUNTS = ("10.00", "0.01", "0.005", "0.004", "1.005", "2.675", "-4.00", "-0.005", "99.99", "7", "0", "NaN", "Infinity")
WRAPPING = ((1, time(6, 0), time(11, 59)), (2, time(12, 0), time(21, 59)), (7, time(22, 0), time(5, 59)))
WITH_GAPS = ((4, time(11, 0, 30), time(13, 29)), (5, time(20, 0), time(1, 59)))


def transactions(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """(transaction_id, mobile_id, total_amount, created_at)"""
    columns = ["transaction_id", "mobile_id", "total_amount", "created_at"]
    return pd.DataFrame(list(rows), columns=columns, dtype=object)


def items(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """(transaction_id, item_id, quantity, price), numbered as they come"""
    columns = ["transaction_id", "item_id", "quantity", "price"]
    frame = pd.DataFrame(list(rows), columns=columns, dtype=object)
    frame.insert(0, "id", pd.Series(range(1, len(frame) + 1), dtype=object))
    return frame


@dataclass(frozen=True)
class Case:
    """Orders and the rules to read them by."""

    transactions: pd.DataFrame
    items: pd.DataFrame
    rules: Rules


def times(moments: st.SearchStrategy[datetime]) -> st.SearchStrategy[datetime]:
    """Instants within two days of a moment, often on a whole minute's edge."""
    edges = st.sampled_from((0, 1, 59_999_999, 60_000_000))
    return st.builds(
        lambda moment, minutes, micros: moment + timedelta(minutes=minutes, microseconds=micros),
        moments,
        st.integers(-48 * 60, 48 * 60) | st.sampled_from([-24 * 60, 0, 24 * 60]),
        edges,
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Up to 40 transactions with up to 80 lines, mostly around one moment, and rules for them."""
    moment = draw(st.sampled_from(MOMENTS))
    when = times(st.just(moment)) | times(st.sampled_from(MOMENTS))
    ids = draw(st.lists(st.integers(-5, 60) | st.integers(2**61, 2**62), unique=True, max_size=40))
    customers = st.sampled_from(["a", "b", "c", "d", "e", "ä", "Z", " ", "+15550100", "", None])
    sold = [
        (number, draw(customers), draw(st.sampled_from(AMOUNTS)), draw(when | st.none() if number == 3 else when))
        for number in ids
    ]
    of_orders = st.sampled_from([*ids, None, 77_777]) if ids else st.sampled_from([None, 77_777])
    lines = draw(
        st.lists(
            st.tuples(
                of_orders,
                st.sampled_from([1, 2, 3, 2**62, 2, 1, None]),
                st.sampled_from([1, 1, 2, 3, 0, -1, None]),
                st.sampled_from(["1.00", "2.675", "0.005", "0", "NaN", None, "3.335"]),
            ),
            max_size=80,
        )
    )
    rules = Rules(
        as_of=draw(times(st.just(moment))) + timedelta(days=draw(st.sampled_from((0, 0, 40, 400)))),
        timezone=draw(st.sampled_from(ZONES)),
        business_day_start=draw(st.sampled_from((time(4, 0), time(0, 0), time(1, 30), time(23, 0)))),
        top_n=draw(st.sampled_from((10, 1, 2))),
        rfm_lookback_days=draw(st.sampled_from((0, 0, 1, 30))),
        menu_lookback_days=draw(st.sampled_from((0, 0, 1, 30))),
        dayparts=draw(st.sampled_from((tuple(DEFAULT_DAYPARTS), WRAPPING, WITH_GAPS))),
    )
    return Case(transactions(sold), items(lines), rules)
