"""Driving the system in tests: settings without an environment, real workers, or one run in this process; long, since
all tests use it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import pandas as pd
import psycopg
import requests
from celery import Celery
from psycopg import sql

import kinds
from embedded.ports import choose_port
from kinds import upkeep
from kinds.menu import results as menu_results
from settings import Settings
from store import inbox, runs
from store.database import engine, snapshot, transaction
from store.parts import claim
from store.runs import RunState
from worker import steering
from worker.errors import located

DDL = {
    "fact_transactions": "transaction_id bigint, mobile_id text, total_amount {amount}, created_at timestamptz",
    "fact_transaction_items": "id bigint, transaction_id bigint, item_id bigint, quantity {quantity}, price {amount}",
    "dim_menu_items": "item_id bigint, menu_item_name text, price {amount}, category text, cost {amount}",
    "dim_menu_daytimes": "daytime_id int, daytime_label text, start_time time, end_time time",
}


def make_settings(database_url: str, home: Path, redis_url: str = "redis://127.0.0.1:1/0", **env: str) -> Settings:
    """Settings for a test, from the variables that the contract names."""
    names = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SMARTCRM_HOME": str(home)}
    return Settings.from_env(names | env)


def fill(url: str, tables: Mapping[str, pd.DataFrame], *, amount: str = "numeric", quantity: str = "int") -> None:
    """Replace the source tables' rows; tables that are not given are made, and left empty."""
    with psycopg.connect(url) as connection:
        for table, columns in DDL.items():
            name = sql.Identifier(table)
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
            types = sql.SQL(columns.format(amount=amount, quantity=quantity))
            connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, types))
            frame = tables.get(table)
            if frame is not None:
                _copy(connection, table, frame)


def _copy(connection: psycopg.Connection[Any], table: str, frame: pd.DataFrame) -> None:
    columns = sql.SQL(", ").join(sql.Identifier(column) for column in frame.columns)
    query = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)
    with connection.cursor().copy(query) as copy:
        for row in frame.itertuples(index=False):
            copy.write_row([None if value is None or value is pd.NaT or value is pd.NA else value for value in row])


def run_inline(
    settings: Settings,
    kind: str,
    *,
    as_of: datetime | None = None,
    at: datetime | None = None,
    mode: str = "full",
    named_ids: tuple[int, int] | None = None,
) -> RunState:
    """Do one run from request to end in this process, with the workers' code.

    `at` replaces the database's clock as the time of a default run.
    """
    with transaction(settings.database_url) as session:
        run = inbox.request(session, [kind], as_of=as_of, mode=mode, named_ids=named_ids)[0]
        run.as_of, run_id = as_of or at, run.run_id
    return finish_inline(settings, run_id)


def finish_inline(settings: Settings, run_id: UUID) -> RunState:
    """Do a requested run until its end."""
    while parts := steering.advance(settings, run_id):
        for stage, number in parts:
            do_part(settings, run_id, stage, number)
    upkeep.clear(settings.database_url)
    return state(settings, run_id)


def do_part(settings: Settings, run_id: UUID, stage: str, number: int) -> None:
    """One part, as its task would do it."""
    with claim(settings.database_url, run_id, stage, number) as claimed:
        if claimed is not None:
            with located(settings, claimed.run):
                kinds.get(claimed.run.kind).do(settings, claimed)


def state(settings: Settings, run_id: UUID) -> RunState:
    """The run's state now."""
    with transaction(settings.database_url) as session:
        found = runs.get(session, run_id)
    assert found is not None
    return found


def read(url: str, query: str) -> pd.DataFrame:
    """A query's rows with Python's own values."""
    with psycopg.connect(url) as connection:
        cursor = connection.execute(query)  # type: ignore[arg-type]
        assert cursor.description is not None
        return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description], dtype=object)


def rfm_segments(url: str) -> pd.DataFrame:
    """The published segments, in order of customers."""
    return read(
        url,
        "SELECT mobile_id, recency_days, frequency, monetary, r_score, f_score, m_score, rfm_score, segment"
        ' FROM rfm_segments ORDER BY mobile_id COLLATE "C"',
    )


def menu_recommendation(url: str) -> pd.DataFrame:
    """The published rankings, in order."""
    return read(
        url,
        "SELECT daytime_id, menu_item_id, rank, orders, quantity, share FROM menu_recommendation"
        " ORDER BY daytime_id, rank",
    )


def menu_on(url: str, day: str) -> pd.DataFrame:
    """The published rankings of some weekdays, in order."""
    with snapshot(url) as session:
        found = [
            (daypart.daytime_id, item.menu_item_id, item.rank, item.orders, item.quantity, item.share)
            for daypart in menu_results.menu(session, day=day)
            for item in daypart.items
        ]
    columns = ["daytime_id", "menu_item_id", "rank", "orders", "quantity", "share"]
    return pd.DataFrame(found, columns=columns, dtype=object)


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """The condition's first true value.

    Raises
    ------
    TimeoutError
        When there was none in time.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{condition} was not true within {seconds} s")
        time.sleep(0.05)
    return value


class Webhook:
    """The webhook under gunicorn, which can be killed and started again on its port."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self.port = choose_port("PORT", 0)
        self.env, self.log = {**os.environ, **env}, log
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "gunicorn", "--config", "python:webhook.server"]
        command += ["--bind", f"127.0.0.1:{self.port}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True)
        wait_for(self.answers)

    def answers(self) -> bool:
        """Whether it answers."""
        try:
            return requests.get(f"{self.url}/healthz", timeout=1).ok
        except requests.RequestException:
            return False

    def kill(self) -> None:
        """Kill all its processes."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Workers:
    """Real prefork workers on one database and one Redis."""

    def __init__(self, database_url: str, redis_url: str, folder: Path) -> None:
        self.env = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "SMARTCRM_HOME": str(folder / "home"),
            "TIMEZONE": "Europe/London",
            "KINDS": "rfm menu",
        }
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def settings(self) -> Settings:
        """The settings that the workers have."""
        return Settings.from_env(self.env)

    @property
    def celery(self) -> Celery:
        """A client of the workers."""
        return Celery("tests", changes=self.settings.redis.celery_settings)

    def __enter__(self) -> Self:
        return self

    def start(
        self,
        *,
        processes: int = 1,
        beat: bool = False,
        celery: tuple[str, ...] = (),
        app: str = "worker.app",
        **env: str,
    ) -> None:
        """Start a worker, optionally with beat and Celery settings, and wait until it listens."""
        self.env |= env
        name = f"w{len(self.processes)}@test"
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "--queues", "control,compute"]
        command += ["--concurrency", str(processes), "--hostname", name, "--loglevel", "INFO"]
        command += ["--beat"] if beat else []
        command += celery
        log = (self.folder / f"{name}.log").open("wb")
        self.processes.append(
            subprocess.Popen(command, env={**os.environ, **self.env}, stdout=log, stderr=log, start_new_session=True)
        )
        wait_for(lambda: any(name in reply for reply in self.celery.control.ping(timeout=0.3)))

    def request(self, *kinds: str, as_of: datetime | None = None) -> list[UUID]:
        """Request runs and send their messages, as the webhook does."""
        with transaction(self.settings.database_url) as session:
            requested = [run.run_id for run in inbox.request(session, kinds, as_of=as_of)]
        for run_id in requested:
            self.celery.send_task("smartcrm.advance", (str(run_id),), queue="control")
        return requested

    def finished(self, run_ids: list[UUID], seconds: float = 60) -> list[RunState]:
        """The runs' states once all have ended."""

        def ended() -> list[RunState] | None:
            states = [state(self.settings, run_id) for run_id in run_ids]
            return states if all(found.run.status in runs.FINISHED for found in states) else None

        found: list[RunState] = wait_for(ended, seconds)
        return found

    def processes_that_did(self, task: str) -> set[int]:
        """The pool processes that did this task, by their logs."""
        lines = [line for log in self.folder.glob("w*@test.log") for line in log.read_text().splitlines()]
        reported = [json.loads(line) for line in lines if line.startswith("{")]
        return {
            each["process"]
            for each in reported
            if each["event"].startswith(f"Task {task}[") and "succeeded" in each["event"]
        }

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)
        engine(self.settings.database_url).dispose()
