"""A tether: runs a command for as long as its standard input, a pipe that only its owner can write to, stays open.

    python tether.py GRACE COMMAND…

When the pipe ends, since the owner asked or was killed, the command gets SIGTERM, and what is left of its process
group after GRACE seconds SIGKILL. Exits as the command did. Needs nothing but the standard library.
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
    """One command, and the pipe that it hangs on."""

    def __init__(self, grace: float, command: list[str]) -> None:
        self.grace = grace
        self.asked = False
        self._watched = selectors.DefaultSelector()
        self._wake_on_signals()
        self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def run(self) -> int:
        """Return the command's status once it is gone and its group killed."""
        self._watched.register(0, selectors.EVENT_READ)
        while self._child.poll() is None and not self.asked:
            self._wait()
        self._watched.unregister(0)
        if self._child.poll() is None:
            self._child.terminate()
        deadline = time.monotonic() + self.grace
        while self._child.poll() is None and time.monotonic() < deadline:
            self._wait(deadline - time.monotonic())
        with suppress(ProcessLookupError, PermissionError):  # macOS does not permit it for a group of zombies
            os.killpg(self._child.pid, signal.SIGKILL)
        status = self._child.wait()
        return status if status >= 0 else 128 - status

    def _wait(self, seconds: float | None = None) -> None:
        for key, _ in self._watched.select(seconds):
            if not os.read(key.fd, 4096):  # only standard input can end
                self.asked = True

    def _wake_on_signals(self) -> None:
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        self._watched.register(woken, selectors.EVENT_READ)
        # Handlers, not SIG_IGN, which the command would inherit.
        for ignored in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, lambda *_: None)
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True


def main() -> int:
    """Run the command that the arguments name."""
    try:
        return Tether(float(sys.argv[1]), sys.argv[2:]).run()
    except OSError as error:
        print(f"{sys.argv[2]} can't be started: {error}", file=sys.stderr)
        return NOT_STARTED


if __name__ == "__main__":
    sys.exit(main())
