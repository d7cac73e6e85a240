"""The registry of kinds: known kinds, computed kinds, and kinds with a model."""

from __future__ import annotations

from pathlib import Path

import pytest

import kinds
from errors import RequestError, SettingsError
from kinds import requests
from settings import Settings
from store import inbox
from store.database import transaction
from tests.system import make_settings
from webhook.app import create_app

TOKEN = "a-token-of-some-length"


@pytest.fixture
def rfm_alone(migrated_url: str, tmp_path: Path) -> Settings:
    return make_settings(migrated_url, tmp_path, KINDS="rfm", API_TOKENS=TOKEN)


def test_every_kind_is_what_the_registry_says() -> None:
    assert [kind.name for kind in kinds.every()] == [*kinds.KINDS]
    assert all(kind.stages for kind in kinds.every())


def test_a_kind_that_is_not_computed_here_is_refused_by_name(rfm_alone: Settings) -> None:
    with transaction(rfm_alone.database_url) as session:
        assert requests.computed(session, rfm_alone) == ["rfm"] == requests.requested(session, rfm_alone, None, "full")
        with pytest.raises(RequestError, match="KINDS does not name menu"):
            requests.requested(session, rfm_alone, ["rfm", "menu"], "full")
    answer = (
        create_app(rfm_alone)
        .test_client()
        .post("/runs", json={"kinds": ["menu"]}, headers={"Authorization": f"Bearer {TOKEN}"})
    )
    assert answer.status_code == 422 and "menu" in answer.get_json()["detail"]


def test_a_kind_without_a_model_is_not_trained(rfm_alone: Settings) -> None:
    answer = (
        create_app(rfm_alone)
        .test_client()
        .post("/runs", json={"mode": "train"}, headers={"Authorization": f"Bearer {TOKEN}"})
    )
    assert answer.status_code == 422 and "no model to train for rfm" in answer.get_json()["detail"]


def test_settings_refuse_a_kind_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="KINDS names weather, which is not a kind"):
        make_settings("postgresql://db/", tmp_path, KINDS="rfm weather")


@pytest.mark.parametrize(
    ("waiting", "joining", "becomes"),
    [("incremental", "full", "full"), ("full", "train", "train"), ("train", "incremental", "train")],
)
def test_a_request_gives_a_waiting_run_the_stronger_mode(
    migrated_url: str, waiting: str, joining: str, becomes: str
) -> None:
    with transaction(migrated_url) as session:
        first = inbox.request(session, ["rfm"], mode=waiting)[0]
    with transaction(migrated_url) as session:
        second = inbox.request(session, ["rfm"], mode=joining)[0]
        assert (second.run_id, second.mode) == (first.run_id, becomes)
