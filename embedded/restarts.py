"""The delay before a program that has ended is restarted: 1, 2, 4 … 30 s; 1 s again after it ran for a minute."""

from __future__ import annotations

import time

SHORTEST, LONGEST, STEADY = 1.0, 30.0, 60.0


class Restarts:
    """The starts and ends of one program."""

    def __init__(self) -> None:
        self._wait = SHORTEST
        self._started: float | None = None
        self._due = 0.0

    def started(self) -> None:
        """Note that it was started now."""
        self._started = time.monotonic()

    def ended(self) -> float | None:
        """Note that it has ended; returns the seconds until its restart, or None if this was noted before."""
        if self._started is None:
            return None
        now = time.monotonic()
        wait = SHORTEST if now - self._started >= STEADY else self._wait
        self._wait = min(2 * wait, LONGEST)
        self._started, self._due = None, now + wait
        return wait

    def due(self) -> bool:
        """Whether the delay is over."""
        return time.monotonic() >= self._due
