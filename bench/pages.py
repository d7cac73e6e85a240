"""The dashboard's pages beside a running import load, compared with reading one customer over the API.

    python -m bench.pages [CUSTOMERS] [ROUNDS] [HOME]

Every page is requested in turns with `GET /rfm_segments/{mobile_id}`, while an import of 100 orders is posted every
second. Then all customers are downloaded as CSV, and the memory of the webhook's processes is compared with that before
(Linux only). HOME keeps the data for the next time.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import requests

from bench import data, door, memory
from embedded.ports import HOST
from kinds import KINDS
from kinds.rfm.listing import Position
from settings import Settings
from webhook.cursors import closed
from webhook.filters import to_cursor

RESULTS = Path(__file__).parent / "results" / "pages"
PER_CUSTOMER = 4  # transactions
ORDERS = 100  # per import
EVERY = 1.0  # seconds between imports
SORTED = "/customers?segment=Loyal+Customers&sort=-monetary"
OVERDUE = "/customers?overdue=true&sort=-frequency"
CLUSTER = "/customers?cluster=1"
API = "/rfm_segments/{customer}"
PAGES = (
    "/",
    "/?days=364",
    "/customers",
    "/customers?days=364",
    "/customers?cursor={deep}",
    "/customers?segment=Champions",
    SORTED,
    f"{SORTED}&cursor={{sorted}}",
    "/customers?segment=At+Risk&overdue=true",
    "/customers?segment=Need+Attention&sort=recency_days",
    "/customers?overdue=true",
    "/customers?overdue=false",
    "/customers?cluster=1",
    "/customers?cluster=2",
    "/customers?mobile_id_prefix={prefix}",
    "/customers?mobile_id_prefix={prefix}&sort=-monetary",
    "/customers?segment=Champions&overdue=true",
    "/customers?segment=Champions&overdue=true&sort=recency_days",
    "/customers?segment=At+Risk&cluster=1&overdue=true&sort=-monetary",
    "/customers?segment=Lost&cluster=1",  # nobody, or nearly
    "/customers?overdue=true&cluster=2",
    OVERDUE,
    f"{OVERDUE}&cursor={{tied}}",
    "/customers?overdue=true&sort=recency_days",
    f"{CLUSTER}&sort=-monetary",
    f"{CLUSTER}&sort=-frequency&cursor={{tied}}",
    f"{CLUSTER}&sort=-monetary&overdue=false",
    f"{CLUSTER}&sort=-monetary&overdue=false&mobile_id_prefix={{country}}",
    f"{SORTED}&mobile_id_prefix={{country}}",
    "/customers?segment=About+To+Sleep&overdue=false&sort=-frequency&mobile_id_prefix={country}",
    f"{CLUSTER}&mobile_id_prefix={{country}}&cursor={{deep}}",
    "/customers?mobile_id_prefix={area}",
    "/customers?segment=Lost&mobile_id_prefix={area}&sort=-frequency",
    f"{SORTED}&overdue=false&mobile_id_prefix={{area}}",
    "/customers/{customer}",
    "/menu",
    "/menu?daytime_id=4&day=weekend&days=364",
    "/menu/matrix",
    "/menu/matrix?daytime_id=4",
    "/menu/items/{item}",
    "/views/clusters",
    "/views/cohorts",
    "/views/cohorts?show=revenue",
    "/rules",
    "/operations",
    "/operations?kind=rfm&status=succeeded",
)
# The system has run for minutes, so the moves and sizes of segments of a year are added.
A_YEAR = """
INSERT INTO segment_flows
SELECT current_date - d, a, b, 1 + (d * 7 + length(a) * length(b)) % 90, 0
FROM generate_series(2, 400) AS d, (SELECT DISTINCT segment AS a FROM segment_history) AS f,
     (SELECT DISTINCT segment AS b FROM segment_history) AS t WHERE a <> b
ON CONFLICT DO NOTHING;
INSERT INTO segment_history SELECT current_date - d, segment, customers - d, revenue, NULL
FROM generate_series(1, 400) AS d, segment_history ON CONFLICT DO NOTHING
"""


def prepare(settings: Settings, customers: int) -> None:
    """Orders of about as many customers, and the published results of all kinds, unless they are there."""
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM analytics_published").fetchone() is None:
            # A sixth of the ids has no order.
            data.make(settings.database_url, PER_CUSTOMER * customers, data.until_now(), customers * 6 // 5)
            door.published(settings, door.post(settings, kinds=tuple(KINDS), mode="full"))
            connection.execute(A_YEAR)
            connection.execute("VACUUM (ANALYZE)")


def pages(settings: Settings, rounds: int) -> dict[str, Any]:
    """Median milliseconds of each page and its ratio to the API's call, and the largest ratio."""
    door_url = f"http://{HOST}:{settings.port}"
    api, owner = requests.Session(), _logged_in(door_url, settings.api_tokens[0])
    api.headers["Authorization"] = f"Bearer {settings.api_tokens[0]}"
    known = [_places(settings.database_url, owner, door_url, number) for number in range(10)]
    waits: dict[str, list[float]] = {}
    with imports(settings) as posted:
        for number in range(rounds):
            values = known[number % len(known)]
            for page in PAGES:
                for session, path in ((api, API), (owner, page)):
                    began = time.perf_counter()
                    answer = session.get(door_url + path.format(**values), timeout=60, allow_redirects=False)
                    took = time.perf_counter() - began
                    if answer.status_code != 200:
                        raise RuntimeError(f"{path}: {answer.status_code}")
                    waits.setdefault(path, []).append(1000 * took)
    p50 = statistics.median(waits[API])
    ratios = {path: round(statistics.median(each) / p50, 2) for path, each in waits.items() if path != API}
    return {
        "one customer over the API, median ms": round(p50, 2),
        "page ÷ that": dict(sorted(ratios.items(), key=lambda each: -each[1])),
        "imports posted": posted[0],
    }


def _logged_in(url: str, token: str) -> requests.Session:
    session = requests.Session()
    form = re.search(r'name="form" value="([^"]+)"', session.get(f"{url}/login", timeout=30).text)
    assert form is not None
    session.post(f"{url}/login", {"form": form[1], "token": token}, timeout=30).raise_for_status()
    return session


def _places(url: str, owner: requests.Session, door_url: str, number: int) -> dict[str, str]:
    """What the addresses hold: a customer, an item, the beginning of ids, and cursors of pages."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT mobile_id FROM rfm_segments ORDER BY mobile_id OFFSET %s LIMIT 1", [50_000 * number]
        ).fetchone()
    assert row is not None
    return places(row[0], str(1 + 7 * number), owner.get(f"{door_url}{SORTED}", timeout=60).text)


def places(mobile_id: str, item: str, sorted_page: str) -> dict[str, str]:
    """The same for a customer and an item; `sorted_page` is the first page of the sorted list."""
    following = re.search(r'cursor=([^&"]+)', sorted_page)
    return {
        "customer": quote(mobile_id, safe=""),
        "item": item,
        "prefix": quote(mobile_id[:6], safe=""),
        "deep": quote(closed(mobile_id), safe=""),
        "sorted": following[1] if following else "",
        "tied": quote(to_cursor(Position("2", mobile_id)), safe=""),  # among the many with two visits
        "area": quote(mobile_id[:5], safe=""),  # a tenth of the ids
        "country": quote(mobile_id[:4], safe=""),  # all ids begin so
    }


@contextmanager
def imports(settings: Settings) -> Iterator[list[int]]:
    """Post imports of new orders on a fixed schedule meanwhile; yields their number so far."""
    over, posted = threading.Event(), [0]

    def run() -> None:
        began = time.perf_counter()
        while not over.wait(max(0.0, began + EVERY * posted[0] - time.perf_counter())):
            data.import_orders(settings.database_url, ORDERS)
            door.post(settings)
            posted[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield posted
    finally:
        over.set()
        thread.join()


def csv(settings: Settings) -> dict[str, Any]:
    """How much more memory the webhook's process needs that sends all customers as CSV, the largest growth of any."""
    before = {str(process): memory.proportional_mb(process) for process in _webhook(settings.port)}
    headers = {"Authorization": f"Bearer {settings.api_tokens[0]}"}
    lines = sent = 0
    with memory.PeakMemory(lambda: {process: [int(process)] for process in before}) as watched:
        url = f"http://{HOST}:{settings.port}/exports/rfm_segments.csv"
        with requests.get(url, headers=headers, stream=True, timeout=60) as answer:
            for block in answer.iter_content(1 << 16):
                lines, sent = lines + block.count(b"\n"), sent + len(block)
    more = max((watched.peaks[process] - mb for process, mb in before.items()), default=0.0)
    return {"customers": lines - 1, "MB sent": round(sent / 1e6), "MB more": round(more, 1)}


def _webhook(port: int) -> list[int]:
    """The processes of the webhook at this port."""
    found = []
    for line in memory.PROC.glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"python:webhook.server" in words and any(word.endswith(b":%d" % port) for word in words):
            found.append(int(line.parent.name))
    return found


def main(customers: int, rounds: int, home: str | None) -> None:
    """Print the results, and write them to bench/results."""
    with door.temporary_home() as folder, door.system(Path(home) if home else folder) as settings:
        prepare(settings, customers)
        report = {"pages": pages(settings, rounds), "csv": csv(settings)}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{customers}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(report, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    customers, rounds, home = (*sys.argv[1:], None, None, None)[:3]
    main(int(customers or 1_000_000), int(rounds or 20), home)
