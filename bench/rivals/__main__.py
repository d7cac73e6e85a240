"""Runs one rival in a process of its own and prints its seconds and its peak memory in MB as JSON.

    python -m bench.rivals NAME DATABASE_URL

Its libraries are imported before the clock starts.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib import import_module

from bench.rivals import BY_NAME


def main() -> None:
    """Run the rival that the first argument names on the database that the second one names."""
    rival = BY_NAME[sys.argv[1]]
    import_module(f"bench.rivals.{rival.module}")
    started = time.perf_counter()
    rival.run(sys.argv[2])
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes, on macOS bytes
    json.dump({"seconds": seconds, "peak_mb": peak / (1e6 if sys.platform == "darwin" else 1e3)}, sys.stdout)


if __name__ == "__main__":
    main()
