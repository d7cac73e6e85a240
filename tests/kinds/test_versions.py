"""Versions of models: decisions, the version in service, restoring one, and when trainings are due."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import click
import psycopg
import pytest
from click.testing import CliRunner, Result

from cli import models
from cli.commands import cli
from kinds import KINDS, Entry, requests
from settings import Settings
from store import inbox, nights, runs, versions
from store.database import transaction
from tests.builders import transactions
from tests.kinds import toy
from tests.system import do_part, fill, finish_inline, make_settings, read, run_inline
from webhook.app import create_app
from worker import schedule, steering

TOKEN = {"Authorization": "Bearer a-token-for-the-toy"}


@pytest.fixture
def settings(migrated_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setitem(KINDS, "toy", Entry("tests.kinds.toy:Toy"))
    monkeypatch.setitem(KINDS, "guess", Entry("tests.kinds.toy:Guess", needs=("toy",), trains=True))
    fill(migrated_url, {"fact_transactions": transactions((1, "c1", "1.00", "2026-01-05 12:00:00+00"))})
    with psycopg.connect(migrated_url) as connection:
        connection.execute(toy.TABLES)
    for command in (models.models, models.train):  # their choices were taken from the registry before
        for each in command.params:
            if isinstance(each.type, click.Choice):
                monkeypatch.setattr(each.type, "choices", (*KINDS, "all"))
    for name, value in (("DATABASE_URL", migrated_url), ("REDIS_URL", redis_url), ("SMARTCRM_HOME", str(tmp_path))):
        monkeypatch.setenv(name, value)
    return make_settings(migrated_url, tmp_path, redis_url, API_TOKENS="a-token-for-the-toy")


def add_customer(settings: Settings, number: int) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "INSERT INTO fact_transactions VALUES (%s, %s, 1, '2026-01-05 12:00+00')", [number, f"c{number}"]
        )
    run_inline(settings, "toy")


def invoke(*words: str) -> Result:
    result = CliRunner().invoke(cli, words, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result


def test_the_first_run_trains_later_ones_use_the_champion_and_an_earlier_version_is_put_back(
    settings: Settings,
) -> None:
    def statuses() -> dict[int, str]:
        with transaction(settings.database_url) as session:
            return {each.version: each.status for each in versions.newest(session, "guess")}

    def get(path: str) -> Any:
        answer = client.get(path, headers=TOKEN)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    client = create_app(settings).test_client()
    assert get("/models") == {"models": []} and "No model has been trained" in invoke("models").output
    run_inline(settings, "toy")
    first = run_inline(settings, "guess", mode="incremental").run
    assert first.mode == "train" and first.plan is not None and first.plan["champion"] == 1
    assert run_inline(settings, "guess").run.mode == "full" and statuses() == {1: "champion"}

    run_inline(settings, "guess", mode="train")
    assert statuses() == {1: "champion", 2: "rejected"}
    add_customer(settings, 2)
    third = run_inline(settings, "guess", mode="train").run
    assert statuses() == {1: "retired", 2: "rejected", 3: "champion"}
    assert third.plan is not None and third.plan["champion"] == 3

    listed = get("/models?kind=guess")["models"]
    assert [each["version"] for each in listed] == [3, 2, 1] and get("/models?kind=rfm")["models"] == []
    assert get(f"/models/{listed[2]['model_id']}") == listed[2]
    assert "As many customers as before." in invoke("models", "guess").output

    promoted = client.post(f"/models/{listed[2]['model_id']}/promote", headers=TOKEN)
    assert promoted.status_code == 200 and promoted.get_json()["run"]["kind"] == "guess"
    assert statuses() == {1: "champion", 2: "rejected", 3: "retired"}
    put_back = json.loads(invoke("models", "--rollback", "guess", "--json").stdout)
    assert statuses() == {1: "retired", 2: "rejected", 3: "champion"}
    assert [run["mode"] for run in put_back["runs"]] == ["full"]
    invoke("models", "--rollback", "guess", "--to", "2")
    assert statuses() == {1: "retired", 2: "champion", 3: "retired"}


def test_a_challenger_is_in_service_when_its_results_are_published_and_not_before(settings: Settings) -> None:
    def statuses() -> dict[int, str]:
        with transaction(settings.database_url) as session:
            return {each.version: each.status for each in versions.newest(session, "guess")}

    def trained() -> UUID:
        """A training run whose challenger is fitted and whose results are not published."""
        add_customer(settings, 10 + len(statuses()))
        with transaction(settings.database_url) as session:
            run_id = inbox.request(session, ["guess"], mode="train")[0].run_id
        ((stage, number),) = steering.advance(settings, run_id)
        do_part(settings, run_id, stage, number)
        return run_id

    for kind in ("toy", "guess"):
        run_inline(settings, kind)
    run_id = trained()
    assert statuses() == {1: "champion", 2: "challenger"}
    finish_inline(settings, run_id)
    assert statuses() == {1: "retired", 2: "champion"}

    # An operator's choice is newer than the training's.
    run_id = trained()
    with transaction(settings.database_url) as session:
        chosen = requests.put_in_service(session, settings, versions.earlier(session, "guess"))
    assert finish_inline(settings, run_id).run.status == "succeeded"
    assert statuses() == {1: "champion", 2: "retired", 3: "rejected"}
    after = finish_inline(settings, chosen.run_id).run
    assert after.plan is not None and after.plan["champion"] == 1

    # A challenger whose run ended without a result waits until the next training.
    with transaction(settings.database_url) as session:
        runs.cancel(session, trained())
    assert statuses()[4] == "challenger"
    finish_inline(settings, trained())
    assert statuses() == {1: "retired", 2: "retired", 3: "rejected", 4: "rejected", 5: "champion"}


def test_a_version_that_was_compared_with_a_replaced_champion_is_rejected(settings: Settings) -> None:
    for number in (0, 2):
        add_customer(settings, number)
        run_inline(settings, "guess", mode="train")
    add_customer(settings, 3)
    with transaction(settings.database_url) as session:
        run_id = inbox.request(session, ["guess"], mode="train")[0].run_id
    ((stage, number),) = steering.advance(settings, run_id)
    with transaction(settings.database_url) as session:
        versions.put_in_service(session, versions.earlier(session, "guess"))
    do_part(settings, run_id, stage, number)
    finish_inline(settings, run_id)
    with transaction(settings.database_url) as session:
        newest = versions.newest(session, "guess")[0]
        assert (newest.version, newest.status) == (3, "rejected")
        assert newest.decision == "More customers.; but v1 was put in service"


def test_what_can_not_be_put_in_service_is_refused(settings: Settings) -> None:
    run_inline(settings, "guess")  # the toy has no results yet
    client = create_app(settings).test_client()
    model_id = client.get("/models", headers=TOKEN).get_json()["models"][0]["model_id"]
    refused = client.post(f"/models/{model_id}/promote", headers=TOKEN)
    assert (refused.status_code, refused.get_json()["error_code"]) == (409, "model_unusable")
    missing = client.post(f"/models/{uuid4()}/promote", headers=TOKEN)
    assert (missing.status_code, missing.get_json()["error_code"]) == (404, "model_not_found")
    failed = CliRunner().invoke(cli, ["models", "--rollback", "guess"])
    assert failed.exit_code == 1 and "No version of guess was in service before" in str(failed.exception)


def test_train_requests_the_kinds_that_have_a_model(settings: Settings) -> None:
    invoke("train")
    asked = read(settings.database_url, "SELECT kind, mode FROM analytics_runs ORDER BY kind").values.tolist()
    assert asked == [[name, "train"] for name in sorted(KINDS) if KINDS[name].trains]
    refused = CliRunner().invoke(cli, ["train", "menu"])
    assert refused.exit_code == 1 and "no model to train for menu" in str(refused.exception)


@pytest.mark.parametrize(
    ("cron", "day", "expected"),
    [
        ("", date(2026, 11, 30), datetime(2026, 11, 30, 4, tzinfo=UTC)),
        ("", date(2026, 12, 1), None),
        ("0 1 * * 2", date(2026, 11, 30), datetime(2026, 12, 1, 1, tzinfo=UTC)),
        ("30 5 1 * *", date(2026, 12, 1), datetime(2026, 12, 1, 5, 30, tzinfo=UTC)),
    ],
)
def test_a_business_day_has_the_training_that_its_schedule_says(
    tmp_path: Path, cron: str, day: date, expected: datetime | None
) -> None:
    found = schedule.of_day(make_settings("postgresql://db/", tmp_path, RETRAIN_SCHEDULE=cron), day)
    assert found == expected


def test_a_training_is_due_once_after_its_time(settings: Settings) -> None:
    at = datetime(2026, 11, 30, 4, tzinfo=UTC)
    with transaction(settings.database_url) as session:
        nights.due(session, date(2026, 11, 30))
        since = nights.trained_for(session)
        assert schedule.last_due(settings, since, since) is None  # starting the system requests none
        assert schedule.last_due(settings, at.replace(day=29), at.replace(hour=3)) is None
        assert schedule.last_due(settings, at.replace(day=1), at.replace(hour=9)) == at
        assert schedule.last_due(settings, at, at.replace(hour=9)) is None
        nights.mark_trained(session, datetime(2100, 1, 4, 4, tzinfo=UTC))
        nights.mark_trained(session, at)  # a clock that was set back
        assert nights.trained_for(session) == datetime(2100, 1, 4, 4, tzinfo=UTC)
