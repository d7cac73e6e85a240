"""Beat's scheduler: without a schedule file, and without a stop when the clock is set back.

Its only entry sends a sweep every few seconds. PostgreSQL knows what is due then, nightly runs too. So nothing is lost
when beat dies, and a second beat does no harm.
"""

from __future__ import annotations

import signal
from typing import Any

from celery import beat, signals


class Scheduler(beat.Scheduler):  # type: ignore[misc]
    """Celery's scheduler, except that an entry whose last run is in the future counts as run now.

    Celery would wait until the clock has caught up with it.
    """

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; returns the seconds until the next tick."""
        now = self.app.now()
        ahead = [entry for entry in self.schedule.values() if entry.last_run_at > now]
        for entry in ahead:
            entry.last_run_at = now
        if ahead:
            self.populate_heap()
        wait: float = super().tick(*args, **kwargs)
        return wait


@signals.beat_init.connect
def stop_on_signals(sender: beat.Service, **_: Any) -> None:
    """Make SIGTERM and SIGINT end beat also while it sends a message.

    Celery's handler raises SystemExit, which the Redis client swallows while it reads a reply.
    """
    given = signal.getsignal(signal.SIGTERM)
    if not callable(given):  # beat embedded in a worker, which ends it
        return

    def stop(number: int, frame: Any) -> None:
        sender.stop()  # the loop checks this after each tick
        given(number, frame)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
