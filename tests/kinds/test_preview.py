"""The preview of another segment map equals what a run with that map publishes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings

from analytics.segments import load_map, template
from errors import RequestError
from kinds.rfm.preview import Preview, map_of, preview
from kinds.rfm.results import cut_points
from settings import Settings
from store.database import snapshot
from store.published import PublishedState, published
from tests.builders import Case, cases, own_rules, segment_map
from tests.kinds.test_exactness import put, settings_for
from tests.system import fill, make_settings, rfm_segments, run_inline

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def previewed(settings: Settings, path: Path) -> tuple[PublishedState, Preview]:
    with snapshot(settings.database_url) as session:
        state = published(session, "rfm")
        assert state is not None
        return state, preview(session, state, load_map(path))


def check(before: pd.DataFrame, found: Preview, after: pd.DataFrame) -> None:
    """Compare a preview with the segments published before, and with those that a run with the map publishes."""
    both = before.merge(after, on="mobile_id", how="left", suffixes=("", "_new"))
    moved = both[both.segment != both.segment_new]
    becomes = [None if pd.isna(name) else name for name in moved.segment_new]
    assert found.customers == len(after) and found.moved == len(moved)
    assert {(move.from_segment, move.to_segment): move.customers for move in found.moves} == Counter(
        zip(moved.segment, becomes, strict=True)
    )
    for each in found.segments:
        for table, customers, revenue in (
            (after, each.customers, each.revenue),
            (before, each.published_customers, each.published_revenue),
        ):
            own = table[table.segment == each.segment]
            assert (customers, revenue) == (len(own), sum(own.monetary, Decimal(0)))
    assert {each.segment for each in found.segments} == set(before.segment) | set(after.segment)
    rows = both.set_index("mobile_id")
    assert len(found.sample) == min(20, len(moved)) and len({row.mobile_id for row in found.sample}) == len(
        found.sample
    )
    for row in found.sample:
        assert rows.segment[row.mobile_id] == row.from_segment != row.to_segment
        assert (rows.rfm_score_new[row.mobile_id] if row.to_segment else None) == row.new_rfm_score


def test_a_preview_is_what_a_run_with_that_map_publishes(migrated_url: str, tmp_path: Path) -> None:
    @hypothesis_settings(
        max_examples=6,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases(), wanted=own_rules())
    def hold(case: Case, wanted: dict[str, Any]) -> None:
        put(migrated_url, case)
        rules = replace(case.rules, **wanted | {"excluded": case.rules.excluded | wanted["excluded"]})
        settings = settings_for(migrated_url, tmp_path, case.rules)
        run_inline(settings, "rfm", as_of=case.rules.as_of)
        before = rfm_segments(migrated_url)
        path = tmp_path / "wanted.toml"
        path.write_text(segment_map(rules))
        state, found = previewed(settings, path)
        assert rfm_segments(migrated_url).equals(before) and found.unknown_ids == 0
        run_inline(settings_for(migrated_url, tmp_path, rules), "rfm", as_of=case.rules.as_of)
        check(before, found, rfm_segments(migrated_url))
        with snapshot(migrated_url) as session:
            after = published(session, "rfm")
            assert after is not None and after.run.run_id != state.run.run_id
            assert found.cut_points == cut_points(after)

    hold()


def test_ids_that_the_published_map_leaves_out_are_counted(migrated_url: str, tmp_path: Path) -> None:
    sold = pd.DataFrame(
        [(n, f"c{n}", "5.00", f"2026-01-0{n} 12:00+00") for n in range(1, 8)],
        columns=["transaction_id", "mobile_id", "total_amount", "created_at"],
    )
    fill(migrated_url, {"fact_transactions": sold})
    (tmp_path / "map.toml").write_text('[exclude]\nmobile_ids = ["c1", "c2"]')
    settings = make_settings(migrated_url, tmp_path, SEGMENT_MAP=str(tmp_path / "map.toml"))
    run_inline(settings, "rfm")
    (tmp_path / "other.toml").write_text('[exclude]\nmobile_ids = ["c2", "c3"]')
    _, found = previewed(settings, tmp_path / "other.toml")
    assert (found.customers, found.excluded, found.unknown_ids) == (4, 1, 1)


def test_quintiles_of_the_published_measure_do_not_score_another(migrated_url: str, tmp_path: Path) -> None:
    rows = [(1, "a", "9.00"), (2, "b", "5.00"), (3, "b", "6.00"), *((n, "c", "3.00") for n in range(4, 9))]
    sold = pd.DataFrame(
        [(*row, f"2026-01-0{row[0]} 12:00+00") for row in rows],
        columns=["transaction_id", "mobile_id", "total_amount", "created_at"],
    )
    fill(migrated_url, {"fact_transactions": sold})
    as_of = datetime(2026, 1, 9, tzinfo=UTC)
    total, average = tmp_path / "total.toml", tmp_path / "average.toml"
    total.write_text('[monetary]\nmeasure = "total"')
    average.write_text('[monetary]\nmeasure = "average"')
    for published_map, other in ((average, total), (total, average)):
        run_inline(make_settings(migrated_url, tmp_path, SEGMENT_MAP=str(published_map)), "rfm", as_of=as_of)
        before = rfm_segments(migrated_url)
        _, found = previewed(make_settings(migrated_url, tmp_path), other)
        run_inline(make_settings(migrated_url, tmp_path, SEGMENT_MAP=str(other)), "rfm", as_of=as_of)
        after = rfm_segments(migrated_url)
        assert not after.m_score.equals(before.m_score)
        check(before, found, after)


def test_tables_that_make_no_map_are_refused_by_key() -> None:
    with pytest.raises(RequestError, match=r"cut_points.frequency has to be four rising numbers, not \[1, 2\]"):
        map_of({"cut_points": {"frequency": [1, 2]}})


@pytest.mark.long
@pytest.mark.parametrize("name", ["visits", "ticket", "young"])
def test_the_preview_of_a_template_on_real_data_is_what_its_run_publishes(
    migrated_url: str, tmp_path: Path, name: str
) -> None:
    folder = DATA / "online_retail"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    sold = pd.read_parquet(folder / "transactions.parquet")
    fill(migrated_url, {"fact_transactions": sold.astype(object).where(sold.notna(), None)})
    with psycopg.connect(migrated_url) as connection:
        connection.execute("CREATE INDEX ON fact_transactions (mobile_id)")
    zone = {"TIMEZONE": "Europe/London"}
    as_of = datetime(2011, 12, 10, tzinfo=UTC)
    settings = make_settings(migrated_url, tmp_path, **zone)
    run_inline(settings, "rfm", as_of=as_of)
    before = rfm_segments(migrated_url)
    path = template(name)
    assert path is not None
    _, found = previewed(settings, path)
    run_inline(make_settings(migrated_url, tmp_path, SEGMENT_MAP=name, **zone), "rfm", as_of=as_of)
    check(before, found, rfm_segments(migrated_url))
