"""The parts of recommendations: read a range, tune, judge folds, make a shard's profiles, and add everything up."""

from __future__ import annotations

from celery import Task

from worker.app import app
from worker.tasks.parts import RETRY, work


@app.task(name="smartcrm.recommendations.read", bind=True, ignore_result=True, **RETRY)
def read(self: Task, run_id: str, part: int) -> None:
    """One range of transactions, divided by customer."""
    work(self, run_id, "read", part)


@app.task(name="smartcrm.recommendations.tune", bind=True, ignore_result=True, **RETRY)
def tune(self: Task, run_id: str, part: int) -> None:
    """The parameters that rank best."""
    work(self, run_id, "tune", part)


@app.task(name="smartcrm.recommendations.backtest", bind=True, ignore_result=True, **RETRY)
def backtest(self: Task, run_id: str, part: int) -> None:
    """What lists came to in some folds."""
    work(self, run_id, "backtest", part)


@app.task(name="smartcrm.recommendations.profile", bind=True, ignore_result=True, **RETRY)
def profile(self: Task, run_id: str, shard: int) -> None:
    """The profiles of one shard of customers."""
    work(self, run_id, "profile", shard)


@app.task(name="smartcrm.recommendations.reduce", bind=True, ignore_result=True, **RETRY)
def reduce(self: Task, run_id: str, part: int) -> None:
    """All shards' tallies, and the model that they come to."""
    work(self, run_id, "reduce", part)
