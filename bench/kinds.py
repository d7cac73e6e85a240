"""Full runs of other kinds in turns with the menu's, through the webhook.

python -m bench.kinds [SIZE] [ROUNDS] [KIND …]
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

from bench import data, door
from bench.memory import PeakMemory, workers

RESULTS = Path(__file__).parent / "results" / "door"
MENU = "menu"


def main(size: str = "1000000", rounds: str = "3", *kinds: str) -> None:
    """Print the medians' ratios to the menu's run, and write them to bench/results."""
    wanted = kinds or ("recommendations", "trends")
    taken: dict[str, list[float]] = {kind: [] for kind in (MENU, *wanted)}
    with door.temporary_home() as home, door.system(home) as settings:
        data.make(settings.database_url, int(size), data.until_now())
        door.published(settings, door.post(settings, kinds=("rfm", *taken), mode="full"))  # a kind's first may train
        with PeakMemory(lambda: {"worker": workers()}) as memory:
            for number in range(int(rounds)):
                for kind in list(taken)[:: -1 if number % 2 else 1]:
                    taken[kind].append(door.refresh(settings, "full", (kind,)))
                    print(f"round {number + 1}  {kind:<18} {taken[kind][-1]:6.1f} s", flush=True)
    medians = {kind: statistics.median(seconds) for kind, seconds in taken.items()}
    report = {
        "size": int(size),
        "seconds": taken,
        "÷ menu": {kind: medians[kind] / medians[MENU] for kind in wanted},
        "MB of the largest worker process": memory.peaks["worker"],
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"kinds-{size}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(report, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
