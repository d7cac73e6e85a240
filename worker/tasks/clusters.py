"""The parts of clusters: count one customer shard, find the clusters, and assign one shard."""

from __future__ import annotations

from celery import Task

from worker.app import app, settings
from worker.tasks.parts import RETRY, work
from worker.tasks.tracking import track


@app.task(name="smartcrm.clusters.count", bind=True, ignore_result=True, **RETRY)
def count(self: Task, run_id: str, shard: int) -> None:
    """One customer shard's orders and lines to one row per customer."""
    work(self, run_id, "count", shard)


@app.task(name="smartcrm.clusters.fit", bind=True, ignore_result=True, **RETRY)
def fit(self: Task, run_id: str, part: int) -> None:
    """The clusters: found or checked, over all shards."""
    work(self, run_id, "fit", part)
    track(settings, run_id)


@app.task(name="smartcrm.clusters.assign", bind=True, ignore_result=True, **RETRY)
def assign(self: Task, run_id: str, shard: int) -> None:
    """One customer shard's clusters."""
    work(self, run_id, "assign", shard)
