"""No statement of a page reads all customers: the plans of all statements, as they are executed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from bench import data
from bench.pages import PAGES, SORTED, places
from kinds import KINDS, upkeep
from kinds.rfm import listing
from tests.system import run_inline
from tests.webhook.pages.conftest import Visitor

CUSTOMERS = 50_000
MOST = CUSTOMERS // 5  # rows of a table that a page may read
MOST_SORTED, FEW = CUSTOMERS // 10, CUSTOMERS // 100  # as a million customers have
OF_CUSTOMERS = ("rfm_", "prediction_", "cluster_results", "recommendation_profiles", "segment_changes", "fact_")
ANALYZE = b"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) "


def scans(node: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Every scan of a plan: its table, and the rows that it has read."""
    for child in node.get("Plans", ()):
        yield from scans(child)
    if "Relation Name" in node:
        removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        yield node["Relation Name"], (node["Actual Rows"] + removed) * node["Actual Loops"]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The plans of this process's SELECTs, each with its statement, once they have been executed."""
    plans: list[dict[str, Any]] = []
    execute = psycopg.Cursor.execute

    def explained(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        text = query.encode() if isinstance(query, str) else query if isinstance(query, bytes) else query.as_bytes()
        if text.lstrip().upper().startswith((b"SELECT", b"WITH")):
            (found,) = execute(psycopg.Cursor(cursor.connection), ANALYZE + text, params).fetchone() or ()
            plans.append(found[0]["Plan"] | {"Statement": text.decode()})
        return execute(cursor, query, params, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", explained)
    return plans


@pytest.mark.long
def test_no_page_reads_all_customers(
    visit: Callable[..., Visitor], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = visit(RFM_SHARDS="16").login()  # as for a million customers: a shard may be read whole
    url = owner.settings.database_url
    data.make(url, 4 * CUSTOMERS, data.until_now(), CUSTOMERS * 6 // 5)
    for kind in KINDS:
        assert run_inline(owner.settings, kind).run.status == "succeeded"
    upkeep.index(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
        query = "SELECT mobile_id FROM rfm_segments ORDER BY mobile_id OFFSET 20000 LIMIT 1"
        (mobile_id,) = connection.execute(query).fetchone() or ()
        (customers,) = connection.execute("SELECT count(*) FROM rfm_segments").fetchone() or ()
        assert customers > 0.9 * CUSTOMERS
    values = places(mobile_id, "7", owner.client.get(SORTED).get_data(as_text=True))
    monkeypatch.setattr(listing, "MOST_SORTED", MOST_SORTED)
    monkeypatch.setattr(listing, "FEW", FEW)
    plans = request.getfixturevalue("planned")
    for page in PAGES:
        plans.clear()
        owner.get(page.format(**values))
        assert plans
        for plan in plans:
            read: Counter[str] = Counter()
            for table, rows in scans(plan):
                if table.startswith(OF_CUSTOMERS):
                    read[table.partition("_g")[0]] += int(rows)
            table, rows = max(read.items(), key=lambda each: each[1], default=("", 0))
            assert rows < MOST, f"{page} reads {rows} rows of {table}: {plan['Statement']}"
