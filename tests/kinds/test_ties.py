"""Where most customers came equally often, the summary and doctor report which F scores are missing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analytics.scores import reachable_scores
from cli.doctor import examine
from kinds.rfm.ties import REMEDY, heavy_tie, warnings
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
        ([2] * 10, "100% of the customers came at most 2 times, so that F scores only 1 or 5"),
        ([1] + [3] * 8 + [4, 5], "82% of the customers came at most 3 times, so that F scores only 1 or 5"),
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
        assert warnings(session, state) == ([f"{sentence}. {REMEDY}"] if sentence else [])
    told = [finding.found for finding in examine(settings, {}) if finding.subject == "segments"]
    assert told == ([sentence] if sentence else [])
    assert run.counts is not None and run.counts.get("warnings", []) == [f"{each}. {REMEDY}" for each in told]
    assert set(rfm_segments(migrated_url).f_score) <= set(reachable_scores(run.counts["cut_points"]["frequency"]))


def test_the_map_that_the_warning_names_mends_it(migrated_url: str, tmp_path: Path) -> None:
    fill(migrated_url, sold([1] * 15 + [2, 2, 3, 4, 5]))
    assert run_inline(make_settings(migrated_url, tmp_path), "rfm").run.counts["warnings"]  # type: ignore[index]
    mended = run_inline(make_settings(migrated_url, tmp_path, SEGMENT_MAP="visits"), "rfm", mode="incremental").run
    assert mended.mode == "full" and mended.counts is not None and "warnings" not in mended.counts
    assert set(rfm_segments(migrated_url).f_score) == {2, 3, 4}
