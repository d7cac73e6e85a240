"""The webhook under load: signed posts at a constant rate, and reads compared with a bare Flask route.

python -m bench.load [POSTS_PER_SECOND] [SECONDS] [SIZE]
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import psycopg
import requests

from bench import data, door
from embedded.ports import HOST, choose_port
from settings import Settings
from signatures import signed_headers

RESULTS = Path(__file__).parent / "results" / "door"  # those beside it are make bench's
THREADS = 24
READS = 2_000
_local = threading.local()


def _session() -> requests.Session:
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    session: requests.Session = _local.session
    return session


def posts(settings: Settings, rate: int, seconds: int) -> dict[str, object]:
    """Post imports on a fixed schedule, independent of the answers to earlier ones."""
    url, began = f"http://{HOST}:{settings.port}/webhooks/imports", time.perf_counter() + 0.5

    def one(number: int) -> tuple[int, float]:
        time.sleep(max(0.0, began + number / rate - time.perf_counter()))
        body = json.dumps({"type": "import.completed", "data": {"import_id": number}})
        headers = {"Content-Type": "application/json"}
        headers |= signed_headers(settings.webhook_secrets, f"load_{uuid.uuid4().hex}", datetime.now(UTC), body)
        sent = time.perf_counter()
        try:
            status = _session().post(url, body, headers=headers, timeout=30).status_code
        except requests.RequestException:
            status = 0
        return status, time.perf_counter() - sent

    with ThreadPoolExecutor(THREADS) as threads:
        answered = list(threads.map(one, range(rate * seconds)))
    took = time.perf_counter() - began
    with psycopg.connect(settings.database_url) as connection:
        row = connection.execute("SELECT kind, count(*) FROM analytics_runs GROUP BY kind ORDER BY kind").fetchall()
    waits = sorted(wait for _, wait in answered)
    return {
        "asked per second": rate,
        "accepted per second": round(sum(status == 202 for status, _ in answered) / took, 1),
        "not accepted": sum(status != 202 for status, _ in answered),
        "median ms": round(1000 * statistics.median(waits), 1),
        "p99 ms": round(1000 * waits[int(0.99 * len(waits))], 1),
        "runs by kind": {str(kind): int(count) for kind, count in row},
    }


def reads(settings: Settings, bare_port: int) -> dict[str, dict[str, float]]:
    """Read one customer, one daypart and the bare route, interleaved; returns median, p99 and ratios of each."""
    token = {"Authorization": f"Bearer {settings.api_tokens[0]}"}
    with psycopg.connect(settings.database_url) as connection:
        ids = [row[0] for row in connection.execute("SELECT mobile_id FROM rfm_segments ORDER BY random() LIMIT 500")]
    door, bare = f"http://{HOST}:{settings.port}", f"http://{HOST}:{bare_port}"
    waits: dict[str, list[float]] = {"bare": [], "customer": [], "daypart": []}
    for number in range(READS):
        mobile_id = quote(ids[number % len(ids)], safe="")
        for name, url in (
            ("bare", f"{bare}/customer/{mobile_id}"),
            ("customer", f"{door}/rfm_segments/{mobile_id}"),
            ("daypart", f"{door}/menu_recommendations?daytime_id={1 + number % 11}"),
        ):
            sent = time.perf_counter()
            _session().get(url, headers=token, timeout=30).raise_for_status()
            waits[name].append(time.perf_counter() - sent)
    report = {}
    for name, each in waits.items():
        each.sort()
        report[name] = {"median ms": 1000 * statistics.median(each), "p99 ms": 1000 * each[int(0.99 * len(each))]}
    for name in ("customer", "daypart"):
        for figure in ("median ms", "p99 ms"):
            report[name][f"{figure[:-3]} ÷ bare"] = report[name][figure] / report["bare"][figure]
    return report


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def main(rate: int = 200, seconds: int = 60, size: int = 100_000) -> None:
    """Print the results, and write them to bench/results."""
    with door.temporary_home() as home, door.system(home) as settings:
        data.make(settings.database_url, size, data.until_now())
        door.refresh(settings, "full")
        port = choose_port("PORT", 0)
        command = [sys.executable, "-m", "gunicorn", "--config", "python:webhook.server"]
        command += ["--bind", f"{HOST}:{port}", "bench.bare:create_app()"]
        bare = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            while not _listens(port):
                time.sleep(0.1)
            report = {"reads": reads(settings, port), "posts": posts(settings, rate, seconds)}
        finally:
            bare.terminate()
            bare.wait()
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "load.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(report, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
