"""What a refresh reads of customers that no order has touched."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from analytics.scores import passed_expression
from kinds import upkeep
from kinds.rfm.quantiles import values_beside
from kinds.rfm.results import published_customers
from tests.system import fill, make_settings, read, rfm_segments, run_inline

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
# Each customer has one to three orders over 400 days, with amounts that hardly repeat.
ORDERS = """
INSERT INTO fact_transactions (transaction_id, mobile_id, total_amount, created_at)
SELECT n, 'c' || n % 20000, 5 + (n * 7919 % 1000003) / 100.0, 
  timestamptz '2026-03-02 11:00Z' - n * 6151 % 400 * interval '1 day'
FROM generate_series(1, 40000) AS n WHERE n % 20000 % 3 > 0 OR n <= 20000
"""


def explained(url: str, query: sql.Composable) -> str:
    with psycopg.connect(url) as connection:
        connection.execute("ANALYZE rfm_results")
        return "\n".join(line for (line,) in connection.execute(sql.SQL("EXPLAIN {}").format(query)).fetchall())


def test_customers_near_a_cut_point_are_found_by_an_index(migrated_url: str, tmp_path: Path) -> None:
    fill(migrated_url, {})
    with psycopg.connect(migrated_url) as connection:
        connection.execute(ORDERS)
        connection.execute("ALTER TABLE fact_transactions ADD PRIMARY KEY (transaction_id)")
    settings = make_settings(migrated_url, tmp_path, RFM_SHARDS="2")
    published = run_inline(settings, "rfm", at=NOON).run
    upkeep.index(migrated_url)
    assert published.counts is not None
    points = published.counts["cut_points"]
    day = (NOON.date() - datetime(2000, 1, 1).date()).days
    steps = {"cents": 50, "recency_days": 5}  # in fifths
    lower = {name: [int(point) - step for point in points[name]] for name, step in steps.items()}
    passed = passed_expression(lower, {name: points[name] for name in lower}, day, day)
    query = sql.SQL("SELECT mobile_id FROM rfm_results WHERE generation = {} AND ({})").format(
        sql.Literal(published.generation), sql.SQL(passed)
    )
    with psycopg.connect(migrated_url) as connection:
        connection.execute("INSERT INTO fact_transactions VALUES (50000, 'c7', 4000, %s)", [NOON])
    refreshed = run_inline(settings, "rfm", at=NOON, mode="incremental").run
    assert refreshed.mode == "incremental" and refreshed.counts is not None
    plan = explained(migrated_url, query)
    assert "_cents" in plan and "_last_day" in plan and "Seq Scan" not in plan, plan

    (least, largest), *_ = published.counts["near"]["cents"]
    few = values_beside([published_customers(published.generation)], least, largest, "DESC", 3, 4)
    plan = explained(migrated_url, sql.SQL("SELECT {}").format(few))
    assert "_cents" in plan and "Seq Scan" not in plan and "Bitmap" not in plan, plan

    before = rfm_segments(migrated_url)
    run_inline(settings, "rfm", at=NOON)
    assert rfm_segments(migrated_url).equals(before)
    again = read(migrated_url, "SELECT counts FROM analytics_runs ORDER BY generation DESC LIMIT 1").counts[0]
    assert {name: again[name] for name in ("cut_points", "cells")} == {
        name: refreshed.counts[name] for name in ("cut_points", "cells")
    }
