"""Tasks of the menu kind: tally one chunk of transactions, rank one daypart."""

from __future__ import annotations

from celery import Task

from worker.app import app
from worker.tasks.parts import RETRY, work


@app.task(name="smartcrm.menu.tally", bind=True, ignore_result=True, **RETRY)
def tally(self: Task, run_id: str, chunk: int) -> None:
    """Count one chunk of transactions per business day, daypart and item."""
    work(self, run_id, "tally", chunk)


@app.task(name="smartcrm.menu.rank", bind=True, ignore_result=True, **RETRY)
def rank(self: Task, run_id: str, daytime_id: int) -> None:
    """Rank one daypart's items."""
    work(self, run_id, "rank", daytime_id)
