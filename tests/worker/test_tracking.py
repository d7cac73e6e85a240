"""Versions of models on a real MLflow server; long, since the server is installed first."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from embedded.ports import choose_port
from store import inbox, versions
from store.database import transaction
from tests.installed import absent
from tests.system import make_settings, wait_for
from worker.tasks.tracking import track

NOW = datetime(2026, 3, 2, 20, tzinfo=UTC)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "mlflow",
    ]
    installed = subprocess.run(pip, capture_output=True, text=True, timeout=900)
    if installed.returncode:
        absent(f"MLflow can't be installed: {installed.stderr.strip().splitlines()[-1:]}")
    port = choose_port("MLFLOW_PORT", 0)
    command = [environment / "bin" / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    with (tmp_path / "mlflow.log").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=tmp_path)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(f"{url}/health"), 120)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


def version_of(database_url: str) -> str:
    with transaction(database_url) as session:
        run = inbox.request(session, ["rfm"])[0]
        trained = versions.Trained(
            "mbg",
            {"family": "mbg", "r": 0.5},
            None,
            NOW,
            7,
            "abc",
            "1",
            {"challenger": {"30d": {"auc": 0.75}}},
            "promoted",
        )
        versions.add(session, run, trained, better=True)
        return str(run.run_id)


@pytest.mark.long
def test_a_version_is_on_the_server_once(migrated_url: str, tmp_path: Path, server: str) -> None:
    settings = make_settings(migrated_url, tmp_path, MLFLOW_TRACKING_URI=server)
    run_id = version_of(migrated_url)
    for _ in range(2):
        track(settings, run_id)
    with httpx.Client(base_url=f"{server}/api/2.0/mlflow/") as client:
        found = client.get("experiments/get-by-name", params={"experiment_name": "smartcrm rfm"}).json()
        experiment = found["experiment"]["experiment_id"]
        (run,) = client.post("runs/search", json={"experiment_ids": [experiment]}).json()["runs"]
    assert {each["key"]: each["value"] for each in run["data"]["params"]}["r"] == "0.5"
    assert {each["key"]: each["value"] for each in run["data"]["metrics"]} == {"challenger.30d.auc": 0.75}
    assert {each["key"]: each["value"] for each in run["data"]["tags"]}["decision"] == "promoted"
    assert run["info"]["status"] == "FINISHED"


def test_a_server_that_is_away_is_logged_and_nothing_else(migrated_url: str, tmp_path: Path) -> None:
    settings = make_settings(migrated_url, tmp_path, MLFLOW_TRACKING_URI="http://127.0.0.1:1")
    track(settings, version_of(migrated_url))
    track(settings, str(uuid.uuid4()))
    track(make_settings(migrated_url, tmp_path), str(uuid.uuid4()))
