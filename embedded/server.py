"""The base class of the embedded servers: a folder, a log, and a lock that is held while the server runs."""

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

# Lines that report an error, except Redis's headings in asterisks.
TELLING = re.compile(
    r"(?!\*\*\*).*"
    r"(FATAL|PANIC|ERROR|[Ee]rror:|[Cc]ould not|[Cc]an't|[Ff]ailed|[Ii]nvalid|Bad |denied|not permitted)"
)
TAIL = 16_384  # bytes of a log that are searched for its last message


class Server(ABC):
    """One server of a home. The keeper starts and stops it; commands use `url` and `answers`."""

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
        """Whether a process of the server runs, whoever started it."""
        return locks.held(self._lock)

    def start(self) -> None:
        """Start it with its stored data, unless it is running.

        Raises
        ------
        EmbeddedError
            With the last message of its log.
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
        """Stop it cleanly if it is running, with all data on disk."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it accepts requests now."""

    @abstractmethod
    def url(self) -> str:
        """Its URL, with its password if it has one."""

    def _written(self) -> int:
        """The length of its log in bytes."""
        return self.log.stat().st_size if self.log.exists() else 0

    def _comes_up(self, process: subprocess.Popen[bytes], seconds: float) -> bool:
        """Wait until it answers; returns False if it has ended."""
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            if self.answers():
                return True
            if time.monotonic() > deadline:
                raise self.failed(f"did not answer within {seconds} s of its start")
            time.sleep(0.01)
        return False

    def _goes_down(self, seconds: float) -> bool:
        """Wait until it has ended; returns False if it is still running after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.01)
        return not self.running()

    def failed(self, what: str, since: int = 0) -> EmbeddedError:
        """The error for what happened, with the last message in its log after `since` bytes."""
        return failed(f"{self.name} {what}", self.log, since)


def failed(what: str, log: Path, since: int = 0) -> EmbeddedError:
    """An error that says what happened, with the log file and its last message."""
    message = last_message(log, since)
    return EmbeddedError(f"{what}; the last message in {log}: {message}" if message else f"{what}; {log} is empty.")


def last_message(log: Path, since: int = 0) -> str:
    """The last line that reports an error, or else the last line."""
    try:
        written = log.read_bytes()[since:][-TAIL:]
    except OSError:
        return ""
    lines = [line.strip() for line in written.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if TELLING.match(line)]
    return (telling or lines or [""])[-1]
