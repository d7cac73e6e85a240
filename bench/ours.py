"""Our runs for the benchmark: prefork Celery workers on Redis and PostgreSQL, from the request to the publish."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import psycopg
from celery import Celery

from bench.data import AS_OF, TIMEZONE
from bench.memory import PeakMemory, children
from embedded.group import ProcessGroup
from kinds import upkeep
from settings import Settings
from store import inbox, runs
from store.database import engine, transaction

TIMEOUT = 1800  # seconds for one run
START = 60  # seconds for a worker to listen


# 31 customers of 1,024 get another segment in the baseline than the orders give.
_MOVE = """
UPDATE rfm_results AS r SET segment_number = 1 + segment_number % cardinality(segment_names)
FROM analytics_published AS p JOIN analytics_runs USING (run_id)
WHERE p.kind = 'rfm' AND r.generation = p.baseline AND hashtext(mobile_id) & 1023 < 31
"""


class RunFailedError(Exception):
    """A run of ours failed, or did not end in time."""


class Workers:
    """A Celery worker with this number of prefork processes, on a separate Redis database."""

    def __init__(self, database_url: str, redis_url: str, folder: Path, *, processes: int) -> None:
        self.processes = processes
        self.log = folder / f"worker{processes}.log"
        self.env = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url.rsplit("/", 1)[0] + f"/{2 * processes}",
            "SMARTCRM_HOME": str(folder / f"home{processes}"),
            "TIMEZONE": TIMEZONE,
        }
        self.settings = Settings.from_env(self.env)
        self.celery = Celery("bench", changes=self.settings.redis.celery_settings)
        self._programs = ProcessGroup()
        self._parent = 0  # the process id of the parent of the worker processes

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "--queues", "control,compute"]
        command += ["--concurrency", str(self.processes), "--hostname", f"bench{self.processes}@bench"]
        env = {**os.environ, **self.env, "PYTHONPATH": str(Path(__file__).parent.parent)}
        self._programs.start("worker", [*command, "--loglevel", "INFO"], env, self.log)
        deadline = time.monotonic() + START
        while not (stats := self.celery.control.inspect(timeout=0.3).stats()):
            if time.monotonic() > deadline:
                self.__exit__()
                raise RunFailedError(f"The worker does not listen; the end of its log: {self.log.read_text()[-2000:]}")
        (one,) = stats.values()
        self._parent = one["pid"]
        return self

    def __exit__(self, *_: object) -> None:
        self._programs.stop()
        self.celery.close()
        engine(self.settings.database_url).dispose()

    def run(self, *kinds: str, mode: str = "full", as_of: datetime | None = None, at: datetime | None = None) -> float:
        """Seconds from the request for runs of these kinds until the last is published and a checkpoint is done.

        `at` is the time that runs without an `as_of` take for now. What beat's sweep would do later is done after the
        measurement: old generations and staging are removed, and indexes are added to what is published.
        """
        started = time.perf_counter()
        with transaction(self.settings.database_url) as session:
            requested = inbox.request(session, kinds, mode=mode, as_of=as_of)
            for run in requested:
                run.as_of = as_of or at
            run_ids = [run.run_id for run in requested]
        for run_id in run_ids:
            self.celery.send_task("smartcrm.advance", (str(run_id),), queue="control")
        for run_id in run_ids:
            self._wait(run_id, mode)
        checkpoint(self.settings.database_url)
        seconds = time.perf_counter() - started
        upkeep.clear(self.settings.database_url)
        upkeep.index(self.settings.database_url)
        return seconds

    def _wait(self, run_id: UUID, mode: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        with psycopg.connect(self.settings.database_url, autocommit=True) as connection:
            while time.monotonic() < deadline:
                row = connection.execute(
                    "SELECT status, mode, error FROM analytics_runs WHERE run_id = %s", [run_id]
                ).fetchone()
                if row is not None and row[:2] == ("succeeded", mode):
                    return
                if row is None or row[0] in runs.FINISHED:
                    raise RunFailedError(f"The run, requested as {mode}, ended as {row}")
                time.sleep(0.005)
        raise RunFailedError(f"The run did not end within {TIMEOUT} s")

    def footprint(self, kind: str, mode: str = "full", at: datetime | None = AS_OF) -> dict[str, Any]:
        """One run's tasks, bytes through Redis, and peak proportional memory in MB of its largest processes."""
        said = len(self.log.read_bytes())
        before = self._bytes_through_redis()
        with PeakMemory(self._roles) as memory:
            self.run(kind, mode=mode, at=at)
        time.sleep(1)  # for the last task's acknowledgement
        tasks = [line for line in self.log.read_bytes()[said:].splitlines() if _tells_of_a_task(line)]
        return {
            "tasks": len(tasks),
            "redis_bytes": self._bytes_through_redis() - before,
            "peak_mb": memory.peaks,
        }

    def _bytes_through_redis(self) -> int:
        with self.settings.redis.client(timeout=5) as client:
            stats: Any = client.info("stats")
        return int(stats["total_net_input_bytes"] + stats["total_net_output_bytes"])

    def _roles(self) -> dict[str, list[int]]:
        with psycopg.connect(self.settings.database_url) as connection:
            sessions = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'smartcrm' AND pid <> pg_backend_pid()"
            ).fetchall()
        return {
            "worker's parent": [self._parent],
            "worker process": children(self._parent),
            "database session": [pid for (pid,) in sessions],
        }


def move_customers(url: str) -> None:
    """Give 3 % of the published customers another segment, so that the next default run tells so many changes."""
    with psycopg.connect(url) as connection:
        connection.execute(_MOVE)


def checkpoint(url: str) -> None:
    """Write all changed pages to disk."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def _tells_of_a_task(line: bytes) -> bool:
    with suppress(ValueError):
        event = str(json.loads(line).get("event", ""))
        return event.startswith("Task smartcrm.") and " succeeded in " in event
    return False
