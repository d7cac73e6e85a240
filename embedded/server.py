"""What the embedded servers of a home have in common: a folder, a log, a lock that tells whether one runs."""

from __future__ import annotations

import os
import re
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from embedded import locks
from errors import EmbeddedError

# But no starry headings of Redis.
TELLING = re.compile(
    r"(?!\*\*\*).*"
    r"(FATAL|PANIC|ERROR|[Ee]rror:|[Cc]ould not|[Cc]an't|[Ff]ailed|[Ii]nvalid|Bad |denied|not permitted)"
)
TAIL = 16_384  # bytes of a log that are read for its last words


class Server(ABC):
    """One server of a home. The keeper starts and stops it; those who use it ask where it is and if it answers."""

    name: ClassVar[str]
    slug: ClassVar[str]
    _process: subprocess.Popen[bytes] | None = None  # when we started it

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.folder = self.home / self.slug
        self.log = self.home / "logs" / f"{self.slug}.log"
        self.failure = self.home / f"{self.slug}.failed"  # why the keeper could not start it
        self._lock = self.home / f"{self.slug}.lock"

    @abstractmethod
    def program(self) -> Path:
        """The server's program.

        Raises
        ------
        EmbeddedError
            When it is not installed, as in the container image.
        """

    def running(self) -> bool:
        """Whether a process of it lives, whoever started it."""
        return locks.held(self._lock)

    def start(self) -> None:
        """Start it on what it kept, unless it runs.

        Raises
        ------
        EmbeddedError
            With its log's last words.
        """
        lock = locks.take(self._lock)
        if lock is None:
            return
        try:
            self._launch(lock)
        finally:
            os.close(lock)

    @abstractmethod
    def _launch(self, lock: int) -> None:
        """Start it so that it inherits the lock's descriptor, and return when it answers."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it cleanly when it runs; every committed row and key is on the disk then."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it takes requests now."""

    @abstractmethod
    def url(self) -> str:
        """Where it is, with its password when it has one."""

    def _written(self) -> int:
        """How long its log is."""
        return self.log.stat().st_size if self.log.exists() else 0

    def _comes_up(self, process: subprocess.Popen[bytes], seconds: float) -> bool:
        """Whether it answers now, or has ended."""
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            if self.answers():
                return True
            if time.monotonic() > deadline:
                raise self.failed(f"did not answer within {seconds} s of its start")
            time.sleep(0.01)
        return False

    def _goes_down(self, seconds: float) -> bool:
        """Whether no process of it is left in time."""
        deadline = time.monotonic() + seconds
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.01)
        return not self.running()

    def failed(self, what: str, since: int = 0) -> EmbeddedError:
        """What happened, with the last words of its log, of those that were written after `since` bytes."""
        return failed(f"{self.name} {what}", self.log, since)


def failed(what: str, log: Path, since: int = 0) -> EmbeddedError:
    """One sentence: what happened, the log file, and the last line of it that says why."""
    said = last_words(log, since)
    return EmbeddedError(f"{what}; the last words in {log}: {said}" if said else f"{what}; {log} says nothing.")


def last_words(log: Path, since: int = 0) -> str:
    """The last line that tells of a error, or else the last line."""
    try:
        written = log.read_bytes()[since:][-TAIL:]
    except OSError:
        return ""
    lines = [line.strip() for line in written.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if TELLING.match(line)]
    return (telling or lines or [""])[-1]
