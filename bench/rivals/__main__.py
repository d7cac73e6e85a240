"""Runs one implementation in a separate process and prints its seconds and peak memory in MB as JSON.

    python -m bench.rivals NAME DATABASE_URL

Its libraries are imported before the measurement.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib import import_module
from pathlib import Path

from bench.rivals import BY_NAME


def main() -> None:
    """Run the implementation named by the first argument, on the database named by the second."""
    rival = BY_NAME[sys.argv[1]]
    import_module(f"bench.rivals.{rival.module}")
    started = time.perf_counter()
    rival.run(sys.argv[2])
    seconds = time.perf_counter() - started
    # The memory of a SQL statement is the server's, and not measured.
    memory = {} if rival.module == "statements" else {"peak_mb": peak_mb()}
    json.dump({"seconds": seconds} | memory, sys.stdout)


def peak_mb() -> float:
    """This process's peak resident memory in MB; getrusage would include its parent's memory before the exec."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
