"""What is published of trends, held against the oracle and against itself."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pytest

from kinds.trends import tables
from store.database import transaction
from store.published import published as published_state
from tests.kinds.trends import oracle
from tests.oracle import Rules
from tests.system import read

RELATIONS = {
    "metric_series": "metric, dimension, business_date",
    "metric_trends": "metric, dimension",
    "metric_forecasts": "metric, dimension, business_date",
}


def published(url: str) -> dict[str, pd.DataFrame]:
    """All rows of the three relations, in order, and the names of the series."""
    found = {name: read(url, f"SELECT * FROM {name} ORDER BY {key}") for name, key in RELATIONS.items()}
    of_published = "(SELECT generation FROM analytics_published WHERE kind = 'trends')"
    names = f"SELECT metric, dimension, name FROM metric_results WHERE generation = {of_published} ORDER BY 1, 2"
    return found | {"names": read(url, names)}


def check_counts(
    url: str, transactions: pd.DataFrame, items: pd.DataFrame, rules: Rules, categories: Mapping[int, str | None]
) -> None:
    """Compare series, hours and cohorts with the oracle's."""
    expected = oracle.series(transactions, items, rules, categories)
    found: oracle.Series = {}
    for row in read(url, "SELECT metric, dimension, business_date, value FROM metric_series").itertuples():
        found.setdefault((row.metric, row.dimension), {})[row.business_date] = row.value
    assert sorted(found) == sorted(key for key, values in expected.items() if values)
    for key, values in found.items():
        assert values == pytest.approx(expected[key], rel=1e-12, abs=1e-12), key
    with transaction(url) as session:
        state = published_state(session, "trends")
        assert state is not None
        for days in (3, 400):
            shown = tables.hours(session, state, days)
            hours = {(row.weekday, row.hour): (row.orders, row.revenue) for row in shown if row.orders or row.revenue}
            known = oracle.hours(transactions, rules, days)
            assert hours == {place: values for place, values in known.items() if any(values)}
        cohorts = {
            (row.cohort, row.months_since): (row.size, row.customers, row.cents)
            for row in tables.cohorts(session, state.generation)
        }
    assert cohorts == oracle.cohorts(transactions, rules)
