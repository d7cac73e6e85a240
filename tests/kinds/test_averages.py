"""Averages per purchase: quintiles and scores are exact, as with fractions."""

from __future__ import annotations

from fractions import Fraction

import psycopg
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

from analytics.scores import AVERAGE, cut_points, passed_expression, quantile_ranks, score_expression, stored
from kinds.rfm.quantiles import exact_cut_points
from store.database import transaction

# Small and large values; some of the large ones differ but are equal as floats.
SUMS = st.integers(-20, 20) | st.integers(10**14 - 30, 10**14 - 1)
FREQUENCIES = st.integers(1, 6) | st.integers(2**31 - 4, 2**31 - 1)
ALIKE = [(21_475_910_211_823, 2**31 - 1), (21_475_910_191_822, 2**31 - 3)]
CUSTOMERS = st.lists(st.tuples(SUMS, FREQUENCIES) | st.sampled_from(ALIKE), min_size=1, max_size=12)


def test_two_averages_may_be_one_float() -> None:
    (one, other), floats = (Fraction(*each) for each in ALIKE), {cents / frequency for cents, frequency in ALIKE}
    assert one != other and len(floats) == 1


def test_averages_are_cut_and_compared_exactly(database_url: str) -> None:
    @hypothesis_settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(values=CUSTOMERS, before=st.lists(st.fractions(-9, 9), min_size=4, max_size=4).map(sorted))
    def check(values: list[tuple[int, int]], before: list[Fraction]) -> None:
        columns = [list(column) for column in zip(*values, strict=True)]
        rows = sql.SQL("unnest({}::bigint[], {}::int[]) AS t (cents, frequency)").format(*map(sql.Literal, columns))
        exact = sorted(Fraction(*value) for value in values)
        expected = cut_points(len(exact), [exact[rank] for rank in quantile_ranks(len(exact))])
        with transaction(database_url) as session:
            customers = sql.SQL("SELECT cents, frequency FROM {}").format(rows)
            found = exact_cut_points(session, customers, len(values) + 1, [AVERAGE], 0)
        assert found == (len(values), {AVERAGE: expected})
        others = {AVERAGE: [stored(5 * point) for point in before]}
        scores = [sql.SQL(score_expression(AVERAGE, each, 0)) for each in (expected, others[AVERAGE])]
        passed = sql.SQL(passed_expression(others, {AVERAGE: expected}, 0, 0))
        cuts = [Fraction(point) / 5 for point in expected]
        with psycopg.connect(database_url) as connection:
            told = connection.execute(sql.SQL("SELECT {}, {}, {} FROM {}").format(*scores, passed, rows)).fetchall()
        for value, (score, other, has_passed) in zip(values, told, strict=True):
            assert score == 1 + sum(cut < Fraction(*value) for cut in cuts)
            assert other == 1 + sum(cut < Fraction(*value) for cut in before)
            assert has_passed or score == other

    check()
