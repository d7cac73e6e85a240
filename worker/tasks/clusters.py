"""The parts of clusters: count one customer shard, fit the clusters, and assign one shard."""

from __future__ import annotations

from celery import Task

from worker.app import app, settings
from worker.tasks.parts import RETRY, work
from worker.tasks.tracking import track


@app.task(name="smartcrm.clusters.count", bind=True, ignore_result=True, **RETRY)
def count(self: Task, run_id: str, shard: int) -> None:
    """Count one customer shard's orders and lines."""
    work(self, run_id, "count", shard)


@app.task(name="smartcrm.clusters.fit", bind=True, ignore_result=True, **RETRY)
def fit(self: Task, run_id: str, part: int) -> None:
    """Fit or check the clusters."""
    work(self, run_id, "fit", part)
    track(settings, run_id)


@app.task(name="smartcrm.clusters.assign", bind=True, ignore_result=True, **RETRY)
def assign(self: Task, run_id: str, shard: int) -> None:
    """Assign one customer shard to clusters."""
    work(self, run_id, "assign", shard)
