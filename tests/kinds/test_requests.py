"""Requests for kinds that need others' results: which run waits for which, and none waits for ever."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cli.commands import cli
from kinds import KINDS, Entry, needs, requests
from settings import Settings
from store import inbox, runs
from store.database import transaction
from store.models import Run
from tests.builders import transactions
from tests.kinds import toy
from tests.system import Workers, fill, finish_inline, make_settings, read, state
from webhook.app import create_app
from worker import steering

BOTH = ("guess", "toy")
TOKEN = "a-token-for-the-toy"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "toy", Entry("tests.kinds.toy:Toy"))
    monkeypatch.setitem(KINDS, "guess", Entry("tests.kinds.toy:Guess", needs=("toy",), trains=True, by_default=False))


@pytest.fixture
def settings(migrated_url: str, tmp_path: Path) -> Settings:
    fill(
        migrated_url,
        {"fact_transactions": transactions(*((n, f"c{n}", f"{n}.00", "2026-01-05 12:00:00+00") for n in range(1, 4)))},
    )
    with psycopg.connect(migrated_url) as connection:
        connection.execute(toy.TABLES)
    return make_settings(migrated_url, tmp_path, API_TOKENS=TOKEN)


def request(settings: Settings, *kinds: str, mode: str = "full") -> dict[str, UUID]:
    with transaction(settings.database_url) as session:
        return {run.kind: run.run_id for run in inbox.request(session, kinds, mode=mode, needs=needs(kinds))}


def test_a_run_starts_once_the_run_that_it_needs_has_ended(settings: Settings) -> None:
    asked = request(settings, *BOTH)
    assert steering.advance(settings, asked["guess"]) == []
    assert state(settings, asked["guess"]).run.status == "pending"

    finish_inline(settings, asked["toy"])
    assert steering.following(settings, asked["toy"]) == [asked["guess"]]
    assert finish_inline(settings, asked["guess"]).run.counts == {"customers": 3, "future_transactions": 0}

    alone = request(settings, "guess")["guess"]
    assert finish_inline(settings, alone).run.status == "succeeded"


def test_workers_run_what_is_needed_first(workers: Workers) -> None:
    url = workers.settings.database_url
    fill(url, {"fact_transactions": transactions(*((n, f"c{n}", "1.00", "2026-01-05 12:00:00+00") for n in range(5)))})
    with psycopg.connect(url) as connection:
        connection.execute(toy.TABLES)
    workers.start(processes=2, app="tests.kinds.toy_worker")
    with transaction(url) as session:
        asked = [run.run_id for run in inbox.request(session, BOTH, needs=needs(BOTH))]
    for run_id in asked:
        workers.celery.send_task("smartcrm.advance", (str(run_id),), queue="control")
    guess, needed = (found.run for found in workers.finished(asked))
    assert (guess.status, guess.mode, needed.status) == ("succeeded", "train", "succeeded")
    assert guess.started_at is not None and needed.finished_at is not None
    assert guess.started_at >= needed.finished_at and guess.counts is not None and guess.counts["customers"] == 5


def test_a_steady_stream_of_requests_keeps_no_run_from_starting(settings: Settings) -> None:
    first = request(settings, *BOTH)
    with transaction(settings.database_url) as session:
        assert runs.take(session, first["toy"], from_sweep=False)
    second = request(settings, *BOTH)
    assert second["toy"] != first["toy"] and second["guess"] != first["guess"]
    assert request(settings, *BOTH) == second
    assert request(settings, "guess") == {"guess": second["guess"]}

    finish_inline(settings, first["toy"])
    with transaction(settings.database_url) as session:
        assert runs.take(session, first["guess"], from_sweep=False)
        assert runs.take(session, second["toy"], from_sweep=False)
    third = request(settings, *BOTH)
    assert third["guess"] == second["guess"]  # another one is running, so this one does not wait longer
    finish_inline(settings, second["toy"])
    finish_inline(settings, first["guess"])
    assert steering.advance(settings, second["guess"]) == []
    finish_inline(settings, third["toy"])
    assert finish_inline(settings, second["guess"]).run.status == "succeeded"


@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=st.lists(st.sampled_from(["ask", "ask for guess", "advance toy", "advance guess"]), max_size=25))
def test_each_request_is_served_by_runs_that_start_after_what_they_need(settings: Settings, steps: list[str]) -> None:
    asked: list[dict[str, UUID]] = []
    for step in steps:
        if step == "ask":
            asked.append(request(settings, *BOTH))
        elif step == "ask for guess":
            asked.append(request(settings, "guess"))
        else:
            _end_or_begin(settings, step.split()[1])
        with transaction(settings.database_url) as session:
            waiting = session.query(Run).filter(Run.status == "pending").all()
            assert all(sum(run.kind == kind for run in waiting) <= 2 for kind in BOTH)
    for _ in range(2 * len(asked) + 2):
        for kind in BOTH:
            _end_or_begin(settings, kind)
            _end_or_begin(settings, kind)
    with transaction(settings.database_url) as session:
        found = {run.run_id: run for run in session.query(Run)}
        for each in asked:
            assert all(found[run_id].status == "cancelled" for run_id in each.values())
            if "toy" in each:
                ended, started = found[each["toy"]].finished_at, found[each["guess"]].started_at
                assert ended is not None and started is not None and ended <= started
        session.query(Run).delete()


def _end_or_begin(settings: Settings, kind: str) -> None:
    """End the kind's running run, or start the next one."""
    with transaction(settings.database_url) as session:
        works = session.query(Run).filter(Run.kind == kind, Run.status == "running").first()
        if works is not None:
            runs.cancel(session, works.run_id)
            return
    for run_id in [each for each in _pending(settings, kind)]:
        with transaction(settings.database_url) as session:
            if runs.take(session, run_id, from_sweep=False):
                return


def _pending(settings: Settings, kind: str) -> list[UUID]:
    with transaction(settings.database_url) as session:
        query = session.query(Run.run_id).filter(Run.kind == kind, Run.status == "pending").order_by(Run.generation)
        return [run_id for (run_id,) in query]


def test_a_request_that_names_no_kinds_is_for_those_that_an_import_changes(settings: Settings) -> None:
    with transaction(settings.database_url) as session:
        wanted = requests.requested(session, settings, None, "full")
        assert wanted == ["rfm", "menu", "recommendations", "toy"]
        assert requests.requested(session, settings, None, "full", every=True) == [*KINDS]


def test_a_database_that_had_runs_goes_on_with_its_kinds_until_they_are_chosen(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("INSERT INTO analytics_default_kinds VALUES ('rfm'), ('menu')")
    client, token = create_app(settings).test_client(), {"Authorization": f"Bearer {TOKEN}"}
    refused = client.post("/runs", json={"kinds": ["toy"]}, headers=token)
    assert refused.status_code == 422 and "Set KINDS" in refused.get_json()["detail"]

    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("SMARTCRM_HOME", str(tmp_path))
    printed = CliRunner().invoke(cli, ["migrate"]).output
    assert "rfm and menu are computed, as before. To compute others, set KINDS" in printed

    chosen = make_settings(settings.database_url, tmp_path, KINDS="toy guess")
    with transaction(settings.database_url) as session:
        assert requests.computed(session, chosen) == ["toy", "guess"]
    assert read(settings.database_url, "SELECT count(*) AS n FROM analytics_runs").n[0] == 0
