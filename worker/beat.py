"""Beat's scheduler, which keeps no file and does not stand still when the clock is set back.

It sends a sweep every few seconds and nothing else. What is due then, the night too, PostgreSQL knows: so nothing is
lost with a beat, and a second one does no harm.
"""

from __future__ import annotations

from typing import Any

from celery import beat


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
