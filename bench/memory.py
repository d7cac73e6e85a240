"""Peak memory of processes: their proportional set size, which divides shared pages between the processes.

Read from /proc, so on Linux only; elsewhere the result is empty.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

PROC = Path("/proc")
POLL = 0.05  # seconds


def children(parent: int) -> list[int]:
    """The process ids of a process's children."""
    return [process for process, its in _parents().items() if its == parent]


def workers() -> list[int]:
    """The process ids of all Celery workers that this process or its children have started."""
    parents, mine, found = _parents(), {os.getpid()}, []
    for process in sorted(parents):  # a child's id is mostly above its parent's
        if parents[process] in mine:
            mine.add(process)
            with suppress(OSError):
                if b"worker.app\0worker" in (PROC / str(process) / "cmdline").read_bytes():
                    found.append(process)
    return found


def _parents() -> dict[int, int]:
    """Each process's parent."""
    found = {}
    for stat in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            # The fields after the name, which may contain anything: state, parent, …
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    return found


def proportional_mb(process: int) -> float:
    """A process's proportional set size in MB (10^6 bytes); 0 when it has ended."""
    with suppress(OSError, ValueError):
        for line in (PROC / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


class PeakMemory:
    """Watches processes in a background thread; `peaks` has the peak MB of the largest process of each role."""

    def __init__(self, roles: Callable[[], dict[str, list[int]]]) -> None:
        self.peaks: dict[str, float] = {}
        self._roles = roles
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(POLL):
            for role, processes in self._roles().items():
                largest = max((proportional_mb(process) for process in processes), default=0.0)
                self.peaks[role] = round(max(self.peaks.get(role, 0.0), largest), 1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
