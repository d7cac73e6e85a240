"""The parts of recommendations: read a range, tune, judge folds, make a shard's profiles, and sum everything."""

from __future__ import annotations

from celery import Task

from worker.app import app
from worker.tasks.parts import RETRY, work


@app.task(name="smartcrm.recommendations.read", bind=True, ignore_result=True, **RETRY)
def read(self: Task, run_id: str, part: int) -> None:
    """Divide one range of transactions by customer."""
    work(self, run_id, "read", part)


@app.task(name="smartcrm.recommendations.tune", bind=True, ignore_result=True, **RETRY)
def tune(self: Task, run_id: str, part: int) -> None:
    """Choose the parameters that rank best."""
    work(self, run_id, "tune", part)


@app.task(name="smartcrm.recommendations.backtest", bind=True, ignore_result=True, **RETRY)
def backtest(self: Task, run_id: str, part: int) -> None:
    """Evaluate the lists of some folds."""
    work(self, run_id, "backtest", part)


@app.task(name="smartcrm.recommendations.profile", bind=True, ignore_result=True, **RETRY)
def profile(self: Task, run_id: str, shard: int) -> None:
    """Make the profiles of one shard of customers."""
    work(self, run_id, "profile", shard)


@app.task(name="smartcrm.recommendations.reduce", bind=True, ignore_result=True, **RETRY)
def reduce(self: Task, run_id: str, part: int) -> None:
    """Sum all shards' tallies, and make the model."""
    work(self, run_id, "reduce", part)
