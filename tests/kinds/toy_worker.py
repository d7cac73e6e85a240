"""The worker's entry with one more kind: `celery -A tests.kinds.toy_worker`."""

from __future__ import annotations

from celery import Task

from kinds import KINDS, Entry
from worker.app import app
from worker.tasks.parts import RETRY, work

app.finalize()
KINDS["toy"] = Entry("tests.kinds.toy:Toy")


@app.task(name="smartcrm.toy.spent", bind=True, ignore_result=True, **RETRY)
def spent(self: Task, run_id: str, part: int) -> None:
    work(self, run_id, "spent", part)


@app.task(name="smartcrm.toy.share", bind=True, ignore_result=True, **RETRY)
def share(self: Task, run_id: str, part: int) -> None:
    work(self, run_id, "share", part)


KINDS["guess"] = Entry("tests.kinds.toy:Guess", needs=("toy",), trains=True)


@app.task(name="smartcrm.guess.fit", bind=True, ignore_result=True, **RETRY)
def fit(self: Task, run_id: str, part: int) -> None:
    work(self, run_id, "fit", part)
