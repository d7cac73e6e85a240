"""The whole system on embedded servers, driven through its signed webhook, for benchmarks."""

from __future__ import annotations

import json
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import psycopg
import requests

from cli.app import environment
from cli.serving import serving
from embedded import locks
from settings import Settings
from signatures import signed_headers
from store import runs
from store.database import transaction
from store.models import Run


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder for embedded servers, removed after they have stopped, which takes seconds with much data."""
    with tempfile.TemporaryDirectory(prefix="smartcrm-bench-") as folder:
        try:
            yield Path(folder)
        finally:  # or an error would be hidden by that of a folder in use
            while locks.held(Path(folder) / "keeper.lock"):
                time.sleep(0.1)


@contextmanager
def system(home: Path) -> Iterator[Settings]:
    """Run webhook, worker, beat and Flower on the embedded servers of this home, with their output in system.log."""
    os.environ["SMARTCRM_HOME"] = str(home)
    with (
        environment(embedded_only=True) as settings,
        serving(settings, log=home / "system.log", any_port=True) as (served, _),
    ):
        yield served


def post(settings: Settings, *, kinds: tuple[str, ...] = ("rfm", "menu"), mode: str = "incremental") -> list[UUID]:
    """Post a signed import; returns its runs."""
    body = json.dumps({"type": "import.completed", "data": {"kinds": kinds, "mode": mode}})
    headers = {"Content-Type": "application/json"}
    headers |= signed_headers(settings.webhook_secrets, f"bench_{uuid.uuid4().hex}", datetime.now(UTC), body)
    answer = requests.post(f"http://127.0.0.1:{settings.port}/webhooks/imports", body, headers=headers, timeout=30)
    answer.raise_for_status()
    return [UUID(run["run_id"]) for run in answer.json()["runs"]]


def published(settings: Settings, run_ids: list[UUID]) -> list[Run]:
    """Wait until all these runs have succeeded, polling rarely so that it does not slow them down."""
    waiting = "SELECT count(*) FROM analytics_runs WHERE run_id = ANY(%s) AND status <> ALL(%s)"
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        while connection.execute(waiting, [run_ids, list(runs.FINISHED)]).fetchone() != (0,):
            time.sleep(0.005)
    with transaction(settings.database_url) as session:
        found = [state.run for run_id in run_ids if (state := runs.get(session, run_id))]
    failed = [run.error for run in found if run.status != "succeeded"]
    if failed:
        raise RuntimeError(f"A run failed: {failed}")
    return found


def refresh(settings: Settings, mode: str, kinds: tuple[str, ...] = ("rfm", "menu")) -> float:
    """Seconds from the post until the last of its runs is published."""
    began = time.perf_counter()
    for run in published(settings, post(settings, kinds=kinds, mode=mode)):
        if run.mode != mode:
            raise RuntimeError(f"The {run.kind} run was {run.mode} and not {mode}.")
    return time.perf_counter() - began
