"""The time of a refresh after an import, compared with full runs, with one SQL statement per kind, and with an empty
Celery chord from a webhook, interleaved.

python -m bench.refresh [SIZE] [ORDERS] [ROUNDS]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psycopg

from bench import chord, data, door
from bench.rivals import statements

TRENDS = ("trends",)
RESULTS = Path(__file__).parent / "results" / "door"  # those beside it are make bench's


def main(size: int = 1_000_000, orders: int = 1_000, rounds: int = 5) -> None:
    """Print medians in seconds and their ratios, and write them to bench/results."""
    with door.temporary_home() as home, door.system(home) as settings, chord.serving(settings, home) as empty_chord:
        data.make(settings.database_url, size, data.until_now())
        door.refresh(settings, "full")
        door.refresh(settings, "full", TRENDS)
        taken: dict[str, list[float]] = {}

        def incremental() -> None:
            data.import_orders(settings.database_url, orders)
            taken.setdefault("incremental", []).append(door.refresh(settings, "incremental"))
            taken.setdefault("incremental trends", []).append(door.refresh(settings, "incremental", TRENDS))

        def timed(name: str, work: Callable[[], object]) -> None:
            began = time.perf_counter()
            work()
            taken.setdefault(name, []).append(time.perf_counter() - began)

        for _ in range(rounds):
            incremental()
            taken.setdefault("empty chord", []).append(empty_chord())
            timed("full", lambda: door.refresh(settings, "full"))
            timed("sql rfm", lambda: _replaced(settings.database_url, statements.rfm_ntile))
            timed("sql menu", lambda: _replaced(settings.database_url, statements.menu_tuned))
            for kind in ("rfm", "menu", "trends"):
                timed(f"full {kind}", partial(door.refresh, settings, "full", (kind,)))
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    sql = medians["sql rfm"] + medians["sql menu"]
    report = {
        "size": size,
        "orders": orders,
        "seconds": {name: [min(each), medians[name], max(each)] for name, each in taken.items()},
        "ratios": {
            "incremental ÷ full": medians["incremental"] / medians["full"],
            "incremental ÷ empty chord": medians["incremental"] / medians["empty chord"],
            "incremental ÷ one SQL statement a kind": medians["incremental"] / sql,
            "full ÷ one SQL statement a kind": medians["full"] / sql,
            "full rfm ÷ its SQL": medians["full rfm"] / medians["sql rfm"],
            "full menu ÷ its SQL": medians["full menu"] / medians["sql menu"],
            "incremental trends ÷ full trends": medians["incremental trends"] / medians["full trends"],
            "full trends ÷ full menu": medians["full trends"] / medians["full menu"],
        },
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"refresh-{size}-{orders}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(report, indent=1, ensure_ascii=False))


def _replaced(url: str, statement: Callable[[str, str, datetime], None]) -> None:
    """Run the statement for all orders up to now, replacing its table."""
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS rival")
    statement(url, "rival", datetime.now(UTC))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
