"""A tether: a process that runs a command until the tether's standard input, a pipe from its parent, is closed.

    python tether.py GRACE COMMAND…

When the parent closes the pipe or dies, the command gets SIGTERM, and after GRACE seconds the rest of its process group
gets SIGKILL. Exits with the command's status. Uses the standard library only.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress

NOT_STARTED = 127


class Tether:
    """A child process that ends when standard input is closed or on SIGTERM."""

    def __init__(self, grace: float, command: list[str]) -> None:
        self.grace = grace
        self.stopping = False
        self._watched = selectors.DefaultSelector()
        self._wake_on_signals()
        self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def run(self) -> int:
        """Run until the command has ended and its process group is killed; returns its exit status."""
        self._watched.register(0, selectors.EVENT_READ)
        while self._child.poll() is None and not self.stopping:
            self._wait()
        self._watched.unregister(0)
        if self._child.poll() is None:
            self._child.terminate()
        deadline = time.monotonic() + self.grace
        while self._child.poll() is None and time.monotonic() < deadline:
            self._wait(deadline - time.monotonic())
        with suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies only
            os.killpg(self._child.pid, signal.SIGKILL)
        status = self._child.wait()
        return status if status >= 0 else 128 - status

    def _wait(self, seconds: float | None = None) -> None:
        for key, _ in self._watched.select(seconds):
            if not os.read(key.fd, 4096):  # end of file; only standard input can have one
                self.stopping = True

    def _wake_on_signals(self) -> None:
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        self._watched.register(woken, selectors.EVENT_READ)
        # Handlers, not SIG_IGN, which the command would inherit.
        for ignored in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_: object) -> None:
        self.stopping = True


def main() -> int:
    """Run the command in the arguments; returns its exit status."""
    try:
        return Tether(float(sys.argv[1]), sys.argv[2:]).run()
    except OSError as error:
        print(f"{sys.argv[2]} can't be started: {error}", file=sys.stderr)
        return NOT_STARTED


if __name__ == "__main__":
    sys.exit(main())
