"""However a run is divided, and whoever does its parts, the published rows are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinds import upkeep
from kinds.trends import plan
from source import ranges
from store.database import transaction
from tests.kinds.trends.checks import published
from tests.kinds.trends.restaurant import MORNING_AFTER, tables
from tests.system import Workers, fill, make_settings, read, run_inline


def test_chunks_shards_and_real_workers_give_the_same_rows(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = workers.settings.database_url
    fill(url, tables())
    settings = make_settings(url, tmp_path, TIMEZONE="Europe/London")
    assert run_inline(settings, "trends", as_of=MORNING_AFTER).run.status == "succeeded"
    whole = published(url)
    assert len(whole["metric_trends"]) > 10

    monkeypatch.setattr(ranges, "default_ranges", lambda rows, indexed: 5)
    monkeypatch.setattr(plan, "ITEMS_OF_A_SHARD", 1)
    divided = run_inline(settings, "trends", as_of=MORNING_AFTER)
    assert {stage.name: stage.parts for stage in divided.stages} == {"tally": 5, "visits": 5, "fit": 3, "compare": 1}
    found = published(url)
    assert all(whole[name].equals(found[name]) for name in whole)

    bounds = read(url, "SELECT lower FROM analytics_parts WHERE stage = 'visits' AND lower IS NOT NULL").lower
    with transaction(url) as session:
        assert upkeep.forget(session, bounds[0]) > 0
    assert bounds[0] not in set(read(url, "SELECT unnest(ARRAY[lower, upper]) AS bound FROM analytics_parts").bound)

    workers.start(processes=2)
    (done,) = workers.finished(workers.request("trends", as_of=MORNING_AFTER))
    assert done.run.status == "succeeded", done.run.error
    found = published(url)
    assert all(whole[name].equals(found[name]) for name in whole)
    generations = read(url, "SELECT DISTINCT generation FROM metric_results")
    assert len(generations) <= 2, "old generations are removed"
