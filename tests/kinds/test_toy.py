"""A kind is one folder and one registry entry: a kind defined in the tests runs like the others."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from cli.commands import cli
from kinds import KINDS, Entry, upkeep
from store import inbox
from store.database import transaction
from tests.builders import transactions
from tests.kinds import toy
from tests.system import Workers, fill, make_settings, read, run_inline
from webhook.app import create_app

TOKEN = "a-token-for-the-toy"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "toy", Entry("tests.kinds.toy:Toy"))


@pytest.fixture
def source_url(migrated_url: str) -> str:
    """Nine customers, of whom c1 spent 1.00, c2 2.00 and so on: 45.00 together."""
    fill(
        migrated_url,
        {"fact_transactions": transactions(*((n, f"c{n}", f"{n}.00", "2026-01-05 12:00:00+00") for n in range(1, 10)))},
    )
    with psycopg.connect(migrated_url) as connection:
        connection.execute(toy.TABLES)
    return migrated_url


def shares(url: str) -> dict[str, Decimal]:
    return {row.mobile_id: round(row.share, 6) for row in read(url, "SELECT * FROM toy").itertuples()}


def expected(**cents: int) -> dict[str, Decimal]:
    return {name: round(Decimal(each) / sum(cents.values()), 6) for name, each in cents.items()}


def test_a_new_kind_runs_whole_though_a_child_of_the_pool_is_killed(
    registered: None, source_url: str, workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "died"
    workers.start(processes=2, app="tests.kinds.toy_worker", beat=True, **{toy.DIES_ONCE: str(mark)})
    found = workers.finished(workers.request("toy"))[0]

    assert mark.exists()
    assert (found.run.status, found.run.mode, found.progress) == ("succeeded", "full", 1.0)
    assert found.run.counts == {"customers": 9, "cents": 4500, "future_transactions": 0}
    assert [(stage.name, stage.parts, stage.done) for stage in found.stages] == [("spent", 3, 3), ("share", 3, 3)]
    assert shares(source_url) == expected(**{f"c{n}": 100 * n for n in range(1, 10)})

    with psycopg.connect(source_url) as connection:
        connection.execute("INSERT INTO fact_transactions VALUES (10, 'c1', 9.00, '2026-01-06 12:00:00+00')")
    with transaction(source_url) as session:
        run_id = inbox.request(session, ["toy"], mode="incremental")[0].run_id
    workers.celery.send_task("smartcrm.advance", (str(run_id),), queue="control")
    again = workers.finished([run_id])[0].run
    assert (again.status, again.mode) == ("succeeded", "incremental")
    assert shares(source_url) == expected(c1=1000, **{f"c{n}": 100 * n for n in range(2, 10)})

    shown_by_http(workers, monkeypatch, str(run_id))


def shown_by_http(workers: Workers, monkeypatch: pytest.MonkeyPatch, run_id: str) -> None:
    settings = make_settings(workers.env["DATABASE_URL"], workers.folder, workers.env["REDIS_URL"], API_TOKENS=TOKEN)
    client = create_app(settings).test_client()

    def get(path: str) -> Any:
        answer = client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200, answer.text
        return answer

    listed = get("/runs?kind=toy").get_json()["runs"]
    assert len(listed) == 2 and listed[0]["run_id"] == run_id
    assert get(f"/runs/{run_id}").get_json()["stages"] == [{"stage": "spent", "parts": 1, "done": 1}]
    metrics = get("/metrics").text
    assert 'smartcrm_published_age_seconds{kind="toy"}' in metrics
    assert re.search(r'smartcrm_parts_total\{kind="toy",stage="share"\} 3', metrics)
    assert "toy" in get("/openapi.json").get_json()["components"]["schemas"]["ShownRun"]["properties"]["kind"]["enum"]

    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.setenv(name, workers.env[name])
    monkeypatch.setenv("SMARTCRM_HOME", str(workers.folder / "home"))
    printed = CliRunner().invoke(cli, ["runs"], env={"COLUMNS": "200"})
    assert printed.exit_code == 0, printed.output
    assert run_id in printed.output and " toy " in printed.output


def test_a_new_kind_is_retained_and_erased_like_the_others(registered: None, source_url: str, tmp_path: Path) -> None:
    settings = make_settings(source_url, tmp_path)
    first, second = (run_inline(settings, "toy").run for _ in range(2))
    assert set(read(source_url, "SELECT DISTINCT generation FROM toy_shares").generation) == {second.generation}

    with transaction(source_url) as session:
        assert upkeep.forget(session, "c9") == 2
    assert "c9" not in shares(source_url)

    with psycopg.connect(source_url) as connection:
        connection.execute("UPDATE analytics_runs SET finished_at = finished_at - interval '99 days'")
    with transaction(source_url) as session:
        upkeep.drop_old(session)
    assert set(read(source_url, "SELECT run_id FROM analytics_runs").run_id) == {second.run_id} != {first.run_id}


def test_no_kind_is_named_in_the_engine_or_the_store() -> None:
    names = re.compile(rf"\b({'|'.join(KINDS)})\b|(?i:\brfm|segment_|menu_)")
    allowed = {"segment_names"}  # a column of analytics_runs that the view rfm_segments reads
    engine = [*ROOT.glob("worker/*.py"), *ROOT.glob("worker/tasks/control.py"), *ROOT.glob("store/*.py")]
    found = {
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in engine
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if names.search(re.sub("|".join(allowed), "", line))
    }
    assert len(engine) > 15 and not found
