"""What a refresh after an import costs: incremental beside full beside one SQL statement, interleaved.

python -m bench.refresh [SIZE] [ORDERS] [ROUNDS]
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import data, ours, rivals_sql

RESULTS = Path(__file__).parent / "results"


def main(size: int = 1_000_000, orders: int = 1_000, rounds: int = 5) -> None:
    """Print medians in seconds and their ratios, and keep them in bench/results."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["SMARTCRM_HOME"] = home
        with ours.system(Path(home) / "system.log") as settings:
            data.fill(settings.database_url, size)
            ours.refresh(settings, "full")
            taken: dict[str, list[float]] = {}

            def incremental() -> None:
                data.import_orders(settings.database_url, orders)
                taken.setdefault("incremental", []).append(ours.refresh(settings, "incremental"))

            def timed(name: str, work: Callable[[], object]) -> None:
                began = time.perf_counter()
                work()
                taken.setdefault(name, []).append(time.perf_counter() - began)

            for _ in range(rounds):
                incremental()
                timed("full", lambda: ours.refresh(settings, "full"))
                timed("sql rfm", lambda: rivals_sql.rfm_ntile(settings.database_url))
                timed("sql menu", lambda: rivals_sql.menu_tuned(settings.database_url))
                for kind in ("rfm", "menu"):
                    timed(f"full {kind}", lambda kind=kind: ours.refresh(settings, "full", (kind,)))
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    sql = medians["sql rfm"] + medians["sql menu"]
    told = {
        "size": size,
        "orders": orders,
        "seconds": {name: [min(each), medians[name], max(each)] for name, each in taken.items()},
        "ratios": {
            "incremental ÷ full": medians["incremental"] / medians["full"],
            "incremental ÷ one SQL statement a kind": medians["incremental"] / sql,
            "full ÷ one SQL statement a kind": medians["full"] / sql,
            "full rfm ÷ its SQL": medians["full rfm"] / medians["sql rfm"],
            "full menu ÷ its SQL": medians["full menu"] / medians["sql menu"],
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"refresh-{size}-{orders}.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(told, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
