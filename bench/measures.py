"""The measurements, one function each."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench import data, equality
from bench.ours import Workers, checkpoint, move_customers
from bench.rivals import RIVALS, Rival, statements

KINDS = ("rfm", "menu")
Figures = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """A filled and migrated database, Redis, a folder for logs, and the number of rounds."""

    database_url: str
    redis_url: str
    folder: Path
    rounds: int

    def workers(self, processes: int) -> Workers:
        """Our workers, with this number of processes."""
        return Workers(self.database_url, self.redis_url, self.folder, processes=processes)


def footprint(bench: Bench) -> Figures:
    """Tasks, bytes through Redis and peak memory of a full run of each kind, without timing."""
    with bench.workers(2) as two:
        return {"footprint": {kind: two.footprint(kind) for kind in KINDS}}


def full_runs(bench: Bench) -> Figures:
    """Seconds of our full runs with two and one process, of the other implementations and the floor, interleaved.

    Ours are the runs that users get: held against a published baseline in which 3 % of the customers have another
    segment. Beside them runs with an `as_of` of their own, which tell no changes.
    """
    figures: Figures = {}
    with bench.workers(2) as two, bench.workers(1) as one:
        for kind in KINDS:
            # A warm-up, so that no process connects or imports during a measurement, and a baseline is published.
            two.run(kind, at=data.AS_OF)
            one.run(kind, at=data.AS_OF)
            rivals = [rival for rival in RIVALS if rival.kind == kind]
            turns: dict[str, Callable[[], Figures]] = {
                "ours": _default_run(bench, two, kind),
                "ours_as_of": _timed(lambda kind=kind: two.run(kind, as_of=data.AS_OF)),  # type: ignore[misc]
                **{rival.name: _rival(bench, rival) for rival in rivals},
                "ours_1_process": _default_run(bench, one, kind),
                "floor": _timed(lambda kind=kind: _floor(bench, kind)),  # type: ignore[misc]
            }
            figures[kind] = _in_turns(bench, turns)
    return figures


def incremental_runs(bench: Bench) -> Figures:
    """Seconds of incremental runs of both kinds after current imports, those
    of up to 1,000 orders in turns with full runs.

    The last measurement, since its imports stay. The footprint of a run over 1,000 orders is measured without timing.
    """
    with psycopg.connect(bench.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM fact_transactions").fetchone()
    assert row is not None
    imports = sorted({1_000, *(-(-row[0] // parts) for parts in (10_000, 1_000, 100))})
    with bench.workers(2) as two:
        two.run(*KINDS)  # the incremental runs start from it
        data.import_orders(bench.database_url, 1_000)
        footprint = {kind: two.footprint(kind, mode="incremental", at=None) for kind in KINDS}
        turns: dict[str, Callable[[], Figures]] = {"full": _timed(lambda: two.run(*KINDS))}
        turns |= {f"{orders:,} orders": _import(bench, two, orders) for orders in imports if orders <= 1_000}
        found = _in_turns(bench, turns)
        # A refresh counts the current day again, so large imports would be counted with the small ones.
        for orders in (orders for orders in imports if orders > 1_000):
            found |= _in_turns(bench, {f"{orders:,} orders": _import(bench, two, orders)})
        return {"incremental_footprint": footprint, "incremental": found}


MEASURES: tuple[Callable[[Bench], Figures], ...] = (footprint, full_runs, incremental_runs)


def _import(bench: Bench, workers: Workers, orders: int) -> Callable[[], Figures]:
    def turn() -> Figures:
        data.import_orders(bench.database_url, orders)
        checkpoint(bench.database_url)
        return {"seconds": workers.run(*KINDS, mode="incremental")}

    return turn


def _default_run(bench: Bench, workers: Workers, kind: str) -> Callable[[], Figures]:
    def turn() -> Figures:
        if kind == "rfm":
            move_customers(bench.database_url)
            checkpoint(bench.database_url)
        return {"seconds": workers.run(kind, at=data.AS_OF)}

    return turn


def _timed(seconds: Callable[[], float]) -> Callable[[], Figures]:
    return lambda: {"seconds": seconds()}


def _floor(bench: Bench, kind: str) -> float:
    started = time.perf_counter()
    statements.floor(bench.database_url, kind)
    return time.perf_counter() - started


def _rival(bench: Bench, rival: Rival) -> Callable[[], Figures]:
    def turn() -> Figures:
        equality.forget(bench.database_url, rival)
        run = subprocess.run(
            [sys.executable, "-m", "bench.rivals", rival.name, bench.database_url],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            check=True,
        )
        started = time.perf_counter()
        checkpoint(bench.database_url)
        written = time.perf_counter() - started
        equality.check(bench.database_url, rival)
        equality.forget(bench.database_url, rival)
        figures: Figures = json.loads(run.stdout)
        return figures | {"seconds": figures["seconds"] + written}

    return turn


def _in_turns(bench: Bench, turns: dict[str, Callable[[], Figures]]) -> dict[str, Figures]:
    """The seconds of each implementation over the rounds, with median, min and max, and its largest peak memory."""
    measured: dict[str, list[Figures]] = {name: [] for name in turns}
    for number in range(1, bench.rounds + 1):
        for name, turn in turns.items():
            measured[name].append(turn())
            print(f"round {number}  {name:<16} {measured[name][-1]['seconds']:8.2f} s", flush=True)
    return {name: _summed_up(figures) for name, figures in measured.items()}


def _summed_up(figures: list[Figures]) -> Figures:
    seconds = [round(each["seconds"], 3) for each in figures]
    peaks = [each["peak_mb"] for each in figures if "peak_mb" in each]
    return {
        "median": statistics.median(seconds),
        "min": min(seconds),
        "max": max(seconds),
        "seconds": seconds,
    } | ({"peak_mb": round(max(peaks))} if peaks else {})
