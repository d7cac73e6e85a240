"""Tasks of the rfm kind: aggregate one customer shard, score one."""

from __future__ import annotations

from celery import Task

from worker.app import app
from worker.tasks.parts import RETRY, work


@app.task(name="smartcrm.rfm.aggregate", bind=True, ignore_result=True, **RETRY)
def aggregate(self: Task, run_id: str, shard: int) -> None:
    """Aggregate one customer shard's orders to one row per customer."""
    work(self, run_id, "aggregate", shard)


@app.task(name="smartcrm.rfm.score", bind=True, ignore_result=True, **RETRY)
def score(self: Task, run_id: str, shard: int) -> None:
    """Score one customer shard by the run's cut points, and assign segments."""
    work(self, run_id, "score", shard)
