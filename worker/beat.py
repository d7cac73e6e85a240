"""Beat's scheduler, which keeps no file and does not stand still when the clock is set back.

It sends a sweep every few seconds and nothing else. What is due then, the night too, PostgreSQL knows: so nothing is
lost with a beat, and a second one does no harm.
"""

from __future__ import annotations

import signal
from typing import Any

from celery import beat, signals


class Scheduler(beat.Scheduler):  # type: ignore[misc]
    """Celery's own, but for entries that seem to have been sent in the future.

    Celery would wait until the clock has caught up with them; they count as sent now.
    """

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One look at what is due; returns the seconds until the next."""
        now = self.app.now()
        ahead = [entry for entry in self.schedule.values() if entry.last_run_at > now]
        for entry in ahead:
            entry.last_run_at = now
        if ahead:
            self.populate_heap()
        wait: float = super().tick(*args, **kwargs)
        return wait


@signals.beat_init.connect
def end_when_told(sender: beat.Service, **_: Any) -> None:
    """Let SIGTERM end beat also while it sends.

    Celery's handler only raises SystemExit, which the Redis client loses when it is raised in the middle of an answer.
    """
    given = signal.getsignal(signal.SIGTERM)
    if not callable(given):  # beat in a worker's process: the worker ends it
        return

    def stop(number: int, frame: Any) -> None:
        sender.stop()  # the loop looks at this after each tick
        given(number, frame)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
