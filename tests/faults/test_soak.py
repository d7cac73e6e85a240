"""Minutes of imports with random faults: every request is covered, and memory does not grow."""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from broker.address import PREFIX
from kinds import KINDS
from tests.faults.plant import Plant
from tests.faults.strikes import OF_A_SOAK, Strike
from tests.system import read, wait_for

PROGRAMS = ("webhook", "worker", "beat", "flower")
LONG_LIVED = 120  # seconds; the growth of processes with shorter lives is not checked
GROWTH = 0.1  # of its memory


class Memory(threading.Thread):
    """Each program's first process' proportional memory in MB, by process, every two seconds."""

    def __init__(self, plant: Plant) -> None:
        super().__init__(daemon=True)
        self.plant, self.stopping = plant, threading.Event()
        self.seen: dict[tuple[str, int], list[float]] = defaultdict(list)

    def run(self) -> None:
        while not self.stopping.wait(2):
            for name in PROGRAMS:
                with suppress(psutil.Error, IndexError):
                    process = self.plant.group.processes(name)[0]
                    self.seen[name, process.pid].append(process.memory_full_info().pss / 1e6)

    def grown(self) -> dict[str, tuple[float, float]]:
        """Of each program's longest-lived process: MB once it had done its first work, and MB at the end."""
        found = {}
        for name in PROGRAMS:
            lives = [life for (of, _), life in self.seen.items() if of == name]
            longest = max(lives, key=len, default=[])
            if 2 * len(longest) >= LONG_LIVED:
                quarter = len(longest) // 4
                found[name] = (statistics.median(longest[quarter : 2 * quarter]), statistics.median(longest[-quarter:]))
        return found


@pytest.mark.long
def test_soak(tmp_path: Path, times: int, long: bool, record_property: Callable[[str, object], None]) -> None:
    seconds, imports, every = (600, 300, 15) if long else (16, 8, 4)
    with Plant(tmp_path, seed=2) as plant:
        readers, memory = list(plant.watched()), Memory(plant)
        memory.start()
        stopping, struck = threading.Event(), 0

        def strikes() -> None:
            nonlocal struck
            while not stopping.wait(every):
                with plant.chance.choice(OF_A_SOAK)(Strike(plant, 5 if long else 1)):
                    pass
                struck += 1

        striking = threading.Thread(target=strikes)
        striking.start()
        began, waits = time.monotonic(), []
        for number in range(imports):
            time.sleep(max(0.0, began + number * seconds / imports - time.monotonic()))
            plant.imports(mode=plant.chance.choice(("incremental", "incremental", "full")))
            waits.append(time.monotonic() - began - number * seconds / imports)
        stopping.set()
        striking.join()
        last = time.monotonic()
        plant.finished(plant.requested)
        drained = time.monotonic() - last
        plant.ready()
        memory.stopping.set()
        plant.check(plant.requested)
        plant.check_readers(readers)
        check_that_nothing_is_left(plant)
        grown = memory.grown()
        record_property("soak", (len(plant.requested), struck, round(drained, 1), grown))
        for name, (early, late) in grown.items():
            assert late < early * (1 + GROWTH), f"{name} grew from {early:.0f} to {late:.0f} MB"
        if long:
            assert set(grown) == set(PROGRAMS)


def check_that_nothing_is_left(plant: Plant) -> None:
    """Check that a run leaves nothing in Redis and PostgreSQL after its end."""
    wait_for(lambda: (plant.clear(), len(read(plant.database_url, LEFT)) == 0)[1])
    counts = read(plant.database_url, COUNTS).iloc[0]
    assert counts.deliveries == len(plant.requested)
    assert counts.runs <= sum(kind.by_default for kind in KINDS.values()) * len(plant.requested)
    assert counts.tallied <= 1 and counts.pending == 0
    with suppress(TimeoutError):
        wait_for(lambda: lasting(plant) <= {b"control", b"compute"})
    assert lasting(plant) <= {b"control", b"compute"}


def lasting(plant: Plant) -> set[bytes]:
    """Redis keys without expiry, except those that clients need while they are connected."""
    client = plant.redis
    keys = {key.removeprefix(PREFIX.encode()) for key in client.scan_iter("*") if client.ttl(key) == -1}
    return {key for key in keys if not key.startswith((b"_kombu.", b"unacked"))}


LEFT = """
SELECT relname FROM pg_class
WHERE relname LIKE 'rfm_staging%' OR relkind = 'p' AND relname ~ '^rfm_results_g' AND relname <> 'rfm_results_g' ||
  (SELECT generation FROM analytics_published WHERE kind = 'rfm')
"""
COUNTS = """
SELECT (SELECT count(*) FROM analytics_deliveries) AS deliveries, (SELECT count(*) FROM analytics_runs) AS runs,
       (SELECT count(DISTINCT generation) FROM menu_tallies) AS tallied,
       (SELECT count(*) FROM segment_changes_pending) AS pending
"""
