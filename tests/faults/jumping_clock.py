"""Runs Celery with a clock offset that is read from a file, and so can jump."""

from __future__ import annotations

import runpy
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine


def main() -> None:
    """`python -m tests.faults.jumping_clock FILE celery-arguments…`."""
    offset = Path(sys.argv[1])
    began, since = datetime.now(UTC), time.monotonic()
    clock = time_machine.travel(began, tick=True).start()

    def follow() -> None:
        jumped = 0.0
        while True:
            wanted = float(offset.read_text())
            if wanted != jumped:
                clock.move_to(began + timedelta(seconds=time.monotonic() - since + wanted))
                jumped = wanted
            threading.Event().wait(0.1)

    threading.Thread(target=follow, daemon=True).start()
    sys.argv = ["celery", *sys.argv[2:]]
    runpy.run_module("celery", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
