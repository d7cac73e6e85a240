"""Trainings whose worker or PostgreSQL is killed; long, since each takes a start of a server or a worker."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pandas as pd
import psutil
import psycopg
import pytest

from embedded.keeper import open_servers
from store import inbox, versions
from store.database import engine, transaction
from store.schema import migrate
from tests.kinds.clusters import eaters
from tests.kinds.predictions import shop
from tests.system import Workers, do_part, fill, finish_inline, make_settings, read, run_inline, wait_for
from worker import steering

Tables = dict[str, pd.DataFrame]
SHOP, RESTAURANT = shop.tables(shop.orders(customers=2500)), eaters.restaurant(600)


def fitting_child(workers: Workers, kind: str) -> int | None:
    """The process that fits a model now."""
    active = workers.celery.control.inspect(timeout=0.3).active() or {}
    tasks = [task for each in active.values() for task in each if task["name"] == f"smartcrm.{kind}.fit"]
    return int(tasks[0]["worker_pid"]) if tasks else None


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "tables", "relation", "customers"),
    [("predictions", SHOP, "customer_predictions", 2500), ("clusters", RESTAURANT, "customer_clusters", 600)],
    ids=["predictions", "clusters"],
)
def test_two_trainings_requested_at_once_are_one_and_survive_a_killed_child(
    workers: Workers, kind: str, tables: Tables, relation: str, customers: int
) -> None:
    url = workers.env["DATABASE_URL"]
    fill(url, tables)
    workers.start(processes=2, beat=True, CLUSTERS="3")
    asked = set()
    for _ in range(2):
        with transaction(url) as session:
            asked.add(inbox.request(session, [kind], mode="train")[0].run_id)
    (run_id,) = asked
    with transaction(url) as session:
        session.execute(versions.DECIDING, {"kind": kind})  # the fit can't end before it is killed
        workers.celery.send_task("smartcrm.advance", (str(run_id),), queue="control")
        os.kill(wait_for(lambda: fitting_child(workers, kind), 60), signal.SIGKILL)
    run = workers.finished([run_id], 120)[0].run
    assert (run.status, run.mode) == ("succeeded", "train"), run.error
    with transaction(url) as session:
        (version,) = versions.newest(session, kind)
        assert version.status == "champion" and version.run_id == run_id
    assert len(read(url, f"SELECT FROM {relation} WHERE model_version = 1")) == customers


def statuses(url: str, kind: str) -> dict[int, str]:
    """The status of each version."""
    with transaction(url) as session:
        return {each.version: each.status for each in versions.newest(session, kind)}


def kill_postgres(home: Path, url: str) -> None:
    """Kill all processes of the home's server, and wait until the keeper has started it again."""
    postmaster = psutil.Process(int((home / "postgres/data/postmaster.pid").read_text().split()[0]))
    for process in [postmaster, *postmaster.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    engine(url).dispose()

    def serves() -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(url):
            return True
        return False

    wait_for(serves, 60)


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "tables", "now", "relation", "last"),
    [
        ("predictions", SHOP, shop.TODAY, "customer_predictions", "score"),
        ("clusters", RESTAURANT, eaters.NOW, "customer_clusters", "assign"),
    ],
    ids=["predictions", "clusters"],
)
def test_postgresql_killed_between_fit_and_promotion_leaves_the_champion_with_its_results(
    tmp_path: Path, kind: str, tables: Tables, now: datetime, relation: str, last: str
) -> None:
    home = tmp_path / "servers"
    with open_servers(home, database=True, redis=False) as urls:
        url = urls["DATABASE_URL"]
        migrate(url)
        settings = make_settings(url, tmp_path, RFM_SHARDS="2", CLUSTERS="3")
        fill(url, tables)
        run_inline(settings, kind, at=now, mode="full")
        with transaction(url) as session:
            stale = versions.champion(session, kind)
            assert stale is not None
            worse = {"alpha": 8 * stale.params.get("alpha", 0)}  # so that the challenger is better
            if kind == "clusters":
                worse = {"centres": [[-value for value in centre] for centre in stale.params["centres"]]}
            stale.params = stale.params | worse
        query = f"SELECT * FROM {relation} ORDER BY mobile_id"
        served = read(url, query)
        with transaction(url) as session:
            run = inbox.request(session, [kind], mode="train")[0]
            run.as_of, run_id = now, run.run_id
        while (parts := steering.advance(settings, run_id))[0][0] != last:
            for stage, number in parts:
                do_part(settings, run_id, stage, number)
        do_part(settings, run_id, *parts[0])
        assert statuses(url, kind) == {1: "champion", 2: "challenger"}

        kill_postgres(home, url)
        assert statuses(url, kind) == {1: "champion", 2: "challenger"}
        assert read(url, query).equals(served)

        with psycopg.connect(url) as connection:  # the parts are sent again, as after RESEND_AFTER
            connection.execute("UPDATE analytics_parts SET sent_at = NULL, sends = 0 WHERE done_at IS NULL")
        assert finish_inline(settings, run_id).run.status == "succeeded"
        assert statuses(url, kind) == {1: "retired", 2: "champion"}
        after = read(url, query)
        assert set(after["model_version"]) == {2} and after["mobile_id"].equals(served["mobile_id"])
        engine(url).dispose()
