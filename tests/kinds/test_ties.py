"""Where most customers came equally often, the summary and doctor say what F can't tell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analytics.scores import reachable_scores
from cli.doctor import examine
from kinds.rfm.ties import heavy_tie
from store.database import transaction
from store.published import published
from tests.builders import transactions
from tests.system import fill, make_settings, rfm_segments, run_inline


def sold(visits: list[int]) -> dict[str, pd.DataFrame]:
    """Customer n came `visits[n]` times."""
    orders = [(f"c{number}", time) for number, times in enumerate(visits) for time in range(times)]
    rows = [(n, customer, "10.00", f"2026-01-{1 + time:02} 12:00:00+00") for n, (customer, time) in enumerate(orders)]
    return {"fact_transactions": transactions(*rows)}


@pytest.mark.parametrize(
    ("visits", "sentence"),
    [
        ([1] * 15 + [2, 2, 3, 4, 5], "75% of the customers came once, so that F scores only 1, 4 or 5"),
        ([2] * 10, "100% of the customers came 2 times, so that F scores only 1 or 5"),
        ([1, 1, 2, 2, 3, 3, 4, 4, 5, 5], None),
    ],
)
def test_customers_who_came_equally_often_are_told(
    migrated_url: str, tmp_path: Path, visits: list[int], sentence: str | None
) -> None:
    fill(migrated_url, sold(visits))
    settings = make_settings(migrated_url, tmp_path)
    run = run_inline(settings, "rfm").run
    with transaction(migrated_url) as session:
        state = published(session, "rfm")
        assert state is not None and heavy_tie(session, state) == sentence
    told = [finding.found for finding in examine(settings, {}) if finding.subject == "segments"]
    assert told == ([sentence] if sentence else [])
    assert run.counts is not None
    assert set(rfm_segments(migrated_url).f_score) <= set(reachable_scores(run.counts["cut_points"]["frequency"]))
