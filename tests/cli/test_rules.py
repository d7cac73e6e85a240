"""Rules on the command line: another map's preview, weekdays, the menu matrix."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.builders import plain_orders
from tests.command import invoked, smartcrm
from tests.system import fill, make_settings, rfm_segments, run_inline

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday


@pytest.fixture
def published(migrated_url: str, tmp_path: Path) -> str:
    """Six customers with one order each, of which five at noon on Monday."""
    tables = plain_orders()
    tables["fact_transactions"].loc[0, "created_at"] = NOON - timedelta(days=1)
    fill(migrated_url, tables)
    for kind in ("rfm", "menu"):
        assert run_inline(make_settings(migrated_url, tmp_path), kind).run.status == "succeeded"
    return migrated_url


def test_a_map_is_previewed_by_name_or_path(published: str, redis_url: str, tmp_path: Path) -> None:
    before = rfm_segments(published)
    done = invoked(tmp_path, "segments", "--preview", "visits", "--json", DATABASE_URL=published, REDIS_URL=redis_url)
    assert done.exit_code == 0, done.output
    reported = json.loads(done.stdout)
    assert reported["customers"] == 6 and reported["cut_points"]["source"]["frequency"] == "own"
    assert sum(move["customers"] for move in reported["moves"]) == reported["moved"] == len(reported["sample"])
    assert rfm_segments(published).equals(before)
    drawn = invoked(tmp_path, "segments", "--preview", "visits", DATABASE_URL=published, REDIS_URL=redis_url)
    assert drawn.exit_code == 0 and "frequency (own)" in drawn.stdout and "would move" in drawn.stdout
    (tmp_path / "wrong.toml").write_text("[cut_points]\nfrequency = [3, 2, 1, 0]\n")
    refused = smartcrm(tmp_path, "segments", "--preview", str(tmp_path / "wrong.toml"), DATABASE_URL=published)
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert "wrong.toml, line 2: cut_points.frequency has to be four rising numbers" in refused.stderr


def test_the_summary_warns_of_customers_who_came_equally_often(published: str, redis_url: str, tmp_path: Path) -> None:
    done = invoked(tmp_path, "segments", DATABASE_URL=published, REDIS_URL=redis_url)
    assert "100% of the customers came once" in done.stdout and "--preview visits" in done.stdout
    assert "frequency (quintiles)" in done.stdout


def test_the_menu_of_a_day_and_its_matrix(published: str, redis_url: str, tmp_path: Path) -> None:
    env, orders = {"DATABASE_URL": published, "REDIS_URL": redis_url}, {}
    for day in ("1", "weekend"):
        done = invoked(tmp_path, "menu", "--at", "12:00", "--day", day, "--json", **env)
        assert done.exit_code == 0, done.output
        orders[day] = [item["orders"] for item in json.loads(done.stdout)["items"]]
    assert orders == {"1": [5], "weekend": [1]}
    done = invoked(tmp_path, "menu", "--matrix", **env)
    assert done.exit_code == 0 and "Soup" in done.stdout and "star" in done.stdout
    assert "No item has a cost" in done.stdout.replace("\n", " ")
