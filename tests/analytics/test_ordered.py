"""Lines find their transactions, whatever ids there are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics.ordered import transactions_of

IDS = st.lists(st.sampled_from([-(2**63), -1, 0, 1, 2, 2**63 - 1]), max_size=6)


@given(IDS, st.sets(st.sampled_from([-(2**63), -1, 0, 1, 2, 2**63 - 1])))
def test_each_line_has_the_place_of_its_transaction(line_ids: list[int], known: set[int]) -> None:
    ids = sorted(known)
    opens, which, place = transactions_of(np.array(line_ids, dtype=np.int64), np.array(ids, dtype=np.int64))
    expected = [ids.index(line) if line in known else len(ids) for line in line_ids]
    assert place[which].tolist() == expected
    assert opens.tolist() == [not number or line_ids[number - 1] != line for number, line in enumerate(line_ids)]
