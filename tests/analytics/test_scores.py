"""Cut points and scores, against pandas' own quintiles and values worked out by hand."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.scores import (
    Point,
    column,
    cut_points,
    passed_expression,
    quantile_ranks,
    quintiles,
    score_expression,
    stored,
)

TODAY = 9557  # days since 2000-01-01


def points_of(values: list[Any]) -> list[Point]:
    ordered = sorted(values)
    return cut_points(len(ordered), [ordered[rank] for rank in quantile_ranks(len(ordered))])


@pytest.mark.parametrize(
    ("values", "fifths"),
    [
        ([7], [35, 35, 35, 35]),
        ([0, 10], [10, 20, 30, 40]),
        ([1, 2, 3], [7, 9, 11, 13]),
        ([0, 10, 20, 30], [30, 60, 90, 120]),
        ([5, 5, 5, 5, 5], [25, 25, 25, 25]),
        ([1, 2, 3, 4, 5, 6], [10, 15, 20, 25]),
    ],
)
def test_cut_points_lie_between_neighbours_at_fifths(values: list[int], fifths: list[int]) -> None:
    assert points_of(values) == fifths


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=200))
def test_cut_points_are_numpys_linear_quantiles(values: list[int]) -> None:
    expected = np.quantile(np.array(values, dtype=float), [0.2, 0.4, 0.6, 0.8], method="linear")
    assert [float(Fraction(point) / 5) for point in points_of(values)] == pytest.approx(list(expected), abs=1e-6)


def scored(connection: psycopg.Connection, measure: str, values: list[int]) -> list[int]:
    score = score_expression(measure, points_of(values), TODAY)
    query = f"SELECT {score} FROM unnest(%s::bigint[]) WITH ORDINALITY AS t ({column(measure)}, n) ORDER BY n"
    return [score for (score,) in connection.execute(query, [stored_as(measure, values)]).fetchall()]  # type: ignore[arg-type]


def stored_as(measure: str, values: list[int]) -> list[int]:
    return [TODAY - value for value in values] if measure == "recency_days" else values


def test_scores_equal_qcut_wherever_its_edges_are_distinct(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:

        @given(st.lists(st.integers(0, 10**9), min_size=5, max_size=60, unique=True))
        def check(values: list[int]) -> None:
            frame = pd.Series(values)
            rising = pd.qcut(frame, 5, labels=[1, 2, 3, 4, 5]).astype(int).tolist()
            falling = pd.qcut(frame, 5, labels=[5, 4, 3, 2, 1]).astype(int).tolist()
            assert scored(connection, "frequency", values) == rising
            assert scored(connection, "cents", values) == rising
            assert scored(connection, "recency_days", values) == falling

        check()


def test_equal_values_share_the_end_of_the_scale(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert scored(connection, "frequency", [3, 3, 3]) == [1, 1, 1]
        assert scored(connection, "recency_days", [3, 3, 3]) == [5, 5, 5]


def test_the_most_recent_customers_score_five_and_the_largest_score_five(database_url: str) -> None:
    values = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    with psycopg.connect(database_url) as connection:
        assert scored(connection, "recency_days", values) == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]
        assert scored(connection, "cents", values) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


@pytest.mark.parametrize("measure", ["cents", "recency_days"])
def test_with_the_cut_points_no_score_changes_but_those_that_a_cut_point_passed(
    database_url: str, measure: str
) -> None:
    with psycopg.connect(database_url) as connection:
        values = st.lists(st.integers(-20, 20), min_size=1, max_size=12)

        @given(values, values, st.integers(0, 9))
        def check(were: list[int], are: list[int], days: int) -> None:
            before, after = ({measure: points_of(each)} for each in (were, are))
            scores = [
                score_expression(measure, points[measure], day)
                for points, day in ((before, TODAY - days), (after, TODAY))
            ]
            query = (
                f"SELECT ({scores[0]}) <> ({scores[1]}), {passed_expression(before, after, TODAY - days, TODAY)}"
                f" FROM unnest(%s::bigint[]) AS t ({column(measure)})"
            )
            rows = connection.execute(query, [stored_as(measure, were + are)]).fetchall()  # type: ignore[arg-type]
            assert all(passed for differs, passed in rows if differs)
            if before == after and (days == 0 or measure == "cents"):
                assert not any(passed for _, passed in rows)

        check()


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=60))
def test_quintiles_of_counted_values_are_those_of_all(values: list[int]) -> None:
    assert quintiles(Counter(values).items()) == points_of(values)


OWN = st.lists(st.fractions(-50, 50, max_denominator=1000), min_size=4, max_size=4, unique=True).map(sorted)


def test_own_cut_points_score_as_numpy_searches(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:

        @given(OWN, st.lists(st.integers(-60, 60), min_size=1, max_size=20))
        def check(own: list[Fraction], values: list[int]) -> None:
            found = np.searchsorted(np.array(own, dtype=object), np.array(values, dtype=object), side="left")
            fifths = [stored(5 * point) for point in own]
            for measure, expected in (("frequency", 1 + found), ("recency_days", 5 - found)):
                score = score_expression(measure, fifths, TODAY)
                query = f"SELECT {score} FROM unnest(%s::bigint[]) AS t ({column(measure)})"
                rows = connection.execute(query, [stored_as(measure, values)]).fetchall()  # type: ignore[arg-type]
                scores = [score for (score,) in rows]
                assert scores == expected.tolist()

        check()
