"""When a program that ended by itself starts again: after 1, 2, 4 … 30 s, and after 1 s once it ran for a minute."""

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
        """It was started now."""
        self._started = time.monotonic()

    def ended(self) -> float | None:
        """It was found to have ended: the seconds until it is due, or None when that was told before."""
        if self._started is None:
            return None
        now = time.monotonic()
        wait = SHORTEST if now - self._started >= STEADY else self._wait
        self._wait = min(2 * wait, LONGEST)
        self._started, self._due = None, now + wait
        return wait

    def due(self) -> bool:
        """Whether it may start now."""
        return time.monotonic() >= self._due
