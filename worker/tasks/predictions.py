"""Tasks of the predictions kind: summarize one customer shard, fit the model, score one shard."""

from __future__ import annotations

from celery import Task

from worker.app import app, settings
from worker.tasks.parts import RETRY, work
from worker.tasks.tracking import track


@app.task(name="smartcrm.predictions.summarize", bind=True, ignore_result=True, **RETRY)
def summarize(self: Task, run_id: str, shard: int) -> None:
    """Summarize one customer shard's orders to one row per customer."""
    work(self, run_id, "summarize", shard)


@app.task(name="smartcrm.predictions.fit", bind=True, ignore_result=True, **RETRY)
def fit(self: Task, run_id: str, part: int) -> None:
    """Train the model, or check it for drift, over all shards."""
    work(self, run_id, "fit", part)
    track(settings, run_id)


@app.task(name="smartcrm.predictions.score", bind=True, ignore_result=True, **RETRY)
def score(self: Task, run_id: str, shard: int) -> None:
    """Score one customer shard."""
    work(self, run_id, "score", shard)
