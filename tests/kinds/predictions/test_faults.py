"""Trainings that are struck, on real workers; long, since each takes a worker's start and a run that is tried again."""

from __future__ import annotations

import os
import signal

import pytest

from store import inbox, versions
from store.database import transaction
from tests.kinds.predictions import shop
from tests.system import Workers, fill, read, wait_for


def fitting_child(workers: Workers) -> int | None:
    """The process that fits a model now."""
    active = workers.celery.control.inspect(timeout=0.3).active() or {}
    tasks = [task for each in active.values() for task in each if task["name"] == "smartcrm.predictions.fit"]
    return int(tasks[0]["worker_pid"]) if tasks else None


@pytest.mark.long
def test_two_trainings_requested_at_once_are_one_and_survive_a_killed_child(workers: Workers) -> None:
    url = workers.env["DATABASE_URL"]
    fill(url, shop.tables(shop.orders(customers=2500)))
    workers.start(beat=True)
    asked = set()
    for _ in range(2):
        with transaction(url) as session:
            asked.add(inbox.request(session, ["predictions"], mode="train")[0].run_id)
    (run_id,) = asked
    with transaction(url) as session:
        session.execute(versions.DECIDING, {"kind": "predictions"})  # the fit can't end before it is killed
        workers.celery.send_task("smartcrm.advance", (str(run_id),), queue="control")
        os.kill(wait_for(lambda: fitting_child(workers), 60), signal.SIGKILL)
    run = workers.finished([run_id], 120)[0].run
    assert (run.status, run.mode) == ("succeeded", "train"), run.error
    with transaction(url) as session:
        (version,) = versions.newest(session, "predictions")
        assert version.status == "champion" and version.run_id == run_id
    assert len(read(url, "SELECT FROM customer_predictions WHERE model_version = 1")) == 2500
