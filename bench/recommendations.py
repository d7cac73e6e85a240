"""Quality of recommendations compared with other methods, and their time compared with the menu run.

    python -m bench.recommendations quality FOLDER TIMEZONE …    # transactions.parquet and items.parquet in each folder
    python -m bench.recommendations speed [SIZE] [ROUNDS] [ITEMS]

Quality is measured on four walk-forward folds, as in the product's backtest; each method runs in its own process, whose
time and peak memory are reported. Speed is measured with real workers, alternating with the menu run.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import requests

from bench import data, door
from bench.memory import PeakMemory, workers
from bench.rankers import RANKERS, in_a_process

RESULTS = Path(__file__).parent / "results" / "recommendations"
KIND = "recommendations"
CUSTOMERS_READ = 300


def quality(*words: str) -> dict[str, Any]:
    """Recall and gain at 10, mean of the folds, of every method over each folder's orders."""
    result: dict[str, Any] = {}
    for folder, zone in zip(words[::2], words[1::2], strict=True):
        found = result[Path(folder).name] = {}
        for name in RANKERS:
            found[name] = in_a_process(name, folder, zone)
            print(f"{Path(folder).name:<16} {name:<24} {json.dumps(found[name])}", flush=True)
    return result


def speed(size: int = 1_000_000, rounds: int = 3, items: int = data.ITEMS) -> dict[str, Any]:
    """Seconds of full runs, refreshes and reads, beside those of the menu and of segments; what is stored; memory."""
    with door.temporary_home() as home, door.system(home) as settings:
        data.make(settings.database_url, size, data.until_now(), items=items)
        door.refresh(settings, "full", ("rfm", "menu"))
        with PeakMemory(lambda: {"training": workers()}) as training:
            train = door.published(settings, door.post(settings, kinds=(KIND,), mode="train"))[0]
        with PeakMemory(lambda: {"full": workers()}) as full:
            door.refresh(settings, "full", (KIND,))
        taken: dict[str, list[float]] = {"menu": [], KIND: [], "refresh": []}
        for _ in range(rounds):
            taken["menu"].append(door.refresh(settings, "full", ("menu",)))
            taken[KIND].append(door.refresh(settings, "full", (KIND,)))
            data.import_orders(settings.database_url, 1_000)
            began = time.perf_counter()
            refresh = door.published(settings, door.post(settings, kinds=(KIND,)))[0]
            taken["refresh"].append(time.perf_counter() - began)
        reads = _reads(settings.database_url, settings.port, settings.api_tokens[0])
        stored = _stored(settings.database_url)
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    assert train.finished_at is not None and train.started_at is not None
    return {
        "size": size,
        "items": items,
        "seconds": taken,
        "training": (train.finished_at - train.started_at).total_seconds(),
        "full ÷ menu": medians[KIND] / medians["menu"],
        "refresh of 1,000 orders ÷ full": medians["refresh"] / medians[KIND],
        "refresh": refresh.mode,  # full with more items than pairs are counted for
        "reads": reads,
        "stored": stored,
        "MB of the largest worker process": training.peaks | full.peaks,
    }


def _reads(url: str, port: int, token: str) -> dict[str, float]:
    """Milliseconds of reading one customer's list and, in turns, the customer's segment."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT mobile_id FROM rfm_segments ORDER BY md5(mobile_id) LIMIT %s", [CUSTOMERS_READ]
        ).fetchall()
    session, taken = requests.Session(), {"list": [], "segment": []}  # type: ignore[var-annotated]
    session.headers["Authorization"] = f"Bearer {token}"
    for place, (mobile_id,) in enumerate(rows):
        quoted = quote(mobile_id, safe="")
        for name, path in (("list", "recommendations"), ("segment", "rfm_segments")):
            began = time.perf_counter()
            session.get(f"http://127.0.0.1:{port}/{path}/{quoted}", timeout=30).raise_for_status()
            if place >= 20:  # the first ones make connections and load the model
                taken[name].append(1000 * (time.perf_counter() - began))
    cuts = {name: statistics.quantiles(each, n=100) for name, each in taken.items()}
    result = {f"{name} p{cut}": values[cut - 1] for name, values in cuts.items() for cut in (50, 99)}
    return result | {f"p{cut} ratio": result[f"list p{cut}"] / result[f"segment p{cut}"] for cut in (50, 99)}


def _stored(url: str) -> dict[str, float]:
    """Customers with a profile, and megabytes per million of them."""
    with psycopg.connect(url, autocommit=True) as connection:
        generation, customers = connection.execute(
            "SELECT generation, (SELECT count(*) FROM recommendation_profiles AS p WHERE p.generation = a.generation)"
            " FROM analytics_published AS a WHERE kind = 'recommendations'"
        ).fetchone() or (0, 0)
        size = connection.execute(
            "SELECT pg_total_relation_size(%s::regclass) + (SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
            " WHERE relname ~ '^recommendation_' AND relkind = 'r' AND relname !~ '_g[0-9]+$')",
            [f"recommendation_profiles_g{generation}"],
        ).fetchone()
    assert size is not None
    return {"customers": customers, "MB per million": float(size[0]) / customers}


def main() -> None:
    """Run what the first word says, print it and keep it."""
    what, *words = sys.argv[1:] or ["speed"]
    result = quality(*words) if what == "quality" else speed(*map(int, words))
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = what if what == "quality" else f"{what}-{result['size']}-{result['items']}"
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
