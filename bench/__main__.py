"""`make bench`: fills a database, measures, and writes bench/results/<size>.json and docs/benchmark.md."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import psycopg

from bench import data, door
from bench.machine import machine, versions
from bench.measures import MEASURES, Bench
from bench.report import write
from bench.rivals import RIVALS
from embedded.keeper import open_servers
from store.schema import migrate

RESULTS = Path(__file__).parent / "results"
UNITS = {"k": 1_000, "M": 1_000_000}


def _size(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]] if text[-1:] in UNITS else int(text)


@click.command()
@click.option("--size", default="1M", show_default=True, help="Transactions, such as 100k, 1M or 10M.")
@click.option("--rounds", default=3, show_default=True, help="Interleaved rounds per figure.")
@click.option("--report-only", is_flag=True, help="Write the page and charts again from the stored results.")
def main(size: str, rounds: int, report_only: bool) -> None:
    """Measure our runs and all other implementations on SIZE transactions, and write the results."""
    if not report_only:
        absent = [rival.title for rival in RIVALS if not rival.installed]
        if absent:
            raise click.ClickException(f"Not installed: {', '.join(absent)}; see requirements-bench.txt.")
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{size}.json").write_text(json.dumps(_measured(_size(size), rounds), indent=1) + "\n")
    write([json.loads(path.read_text()) for path in RESULTS.glob("*.json")])


def _measured(size: int, rounds: int) -> dict[str, Any]:
    with door.temporary_home() as home, open_servers(home, database=True, redis=True) as urls:
        url, redis_url = urls["DATABASE_URL"], urls["REDIS_URL"]
        started = time.perf_counter()
        data.make(url, size)
        print(f"{size:,} transactions made in {time.perf_counter() - started:.0f} s", flush=True)
        migrate(url)
        figures: dict[str, Any] = {
            "size": size,
            "rounds": rounds,
            "measured_at": datetime.now(UTC).date().isoformat(),
            "rows": _rows(url),
            "machine": machine(),
            "versions": versions(url, redis_url),
        }
        for measure in MEASURES:
            figures |= measure(Bench(url, redis_url, home, rounds))
        return figures


def _rows(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM fact_transactions), (SELECT count(*) FROM fact_transaction_items),"
            " (SELECT count(DISTINCT mobile_id) FROM fact_transactions), pg_database_size(current_database())"
        ).fetchone()
    assert row is not None
    return dict(zip(("transactions", "lines", "customers", "database_bytes"), row, strict=True))


if __name__ == "__main__":
    main()
