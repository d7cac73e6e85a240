"""The parts of trends: count orders and customers per business day, fit series, and compare them."""

from __future__ import annotations

from celery import Task

from worker.app import app
from worker.tasks.parts import RETRY, work


@app.task(name="smartcrm.trends.tally", bind=True, ignore_result=True, **RETRY)
def tally(self: Task, run_id: str, chunk: int) -> None:
    """One chunk of transactions to counts per business day."""
    work(self, run_id, "tally", chunk)


@app.task(name="smartcrm.trends.visits", bind=True, ignore_result=True, **RETRY)
def visits(self: Task, run_id: str, shard: int) -> None:
    """One shard of customers to counts per business day and cohort."""
    work(self, run_id, "visits", shard)


@app.task(name="smartcrm.trends.fit", bind=True, ignore_result=True, **RETRY)
def fit(self: Task, run_id: str, shard: int) -> None:
    """One shard of series, forecast."""
    work(self, run_id, "fit", shard)


@app.task(name="smartcrm.trends.compare", bind=True, ignore_result=True, **RETRY)
def compare(self: Task, run_id: str, part: int) -> None:
    """All series together: which rise or fall."""
    work(self, run_id, "compare", part)
