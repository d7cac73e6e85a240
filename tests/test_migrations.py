"""What an older version has published, and what it was at, goes on under the new tables."""

from __future__ import annotations

from pathlib import Path

import psycopg

from store import runs
from store.database import transaction
from store.schema import migrate
from tests.system import do_part, fill, finish_inline, make_settings, read, rfm_segments, run_inline
from tests.test_runs import orders
from worker import steering

# The tables as version 0002 had them.
AS_0002 = """
ALTER TABLE rfm_results ADD rfm_score TEXT, ADD segment TEXT, ADD run_id UUID, ADD computed_at TIMESTAMPTZ;
UPDATE rfm_results AS r SET rfm_score = 100 * r_score + 10 * f_score + m_score,
    segment = w.segment_names[segment_number], run_id = w.run_id, computed_at = w.started_at
    FROM analytics_runs AS w WHERE w.generation = written_by;
CREATE OR REPLACE VIEW rfm_segments AS
SELECT mobile_id, recency_days, frequency, (cents / 100.0)::numeric(14, 2) AS monetary,
       r_score, f_score, m_score, rfm_score, segment, run_id, computed_at
FROM rfm_results
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'rfm');
ALTER TABLE rfm_results DROP segment_number, DROP written_by,
    ALTER rfm_score SET NOT NULL, ALTER segment SET NOT NULL, ALTER run_id SET NOT NULL, ALTER computed_at SET NOT NULL;
ALTER TABLE analytics_runs DROP segment_names;
UPDATE alembic_version SET version_num = '0002';
"""
ALL = "SELECT * FROM rfm_segments ORDER BY mobile_id"


def test_results_of_version_0002_stay_and_its_runs_go_on(migrated_url: str, tmp_path: Path) -> None:
    fill(migrated_url, orders(200))
    settings = make_settings(migrated_url, tmp_path, RFM_SHARDS="3")
    run_inline(settings, "rfm")
    with psycopg.connect(migrated_url) as connection:
        connection.execute("UPDATE fact_transactions SET total_amount = 4000 WHERE transaction_id < 10")
    run_inline(settings, "rfm", mode="incremental", named_ids=(0, 9))
    with transaction(migrated_url) as session:
        under_way = runs.request(session, ["rfm"])[0].run_id
    for part in steering.advance(settings, under_way):
        do_part(settings, under_way, *part)
    scoring = steering.advance(settings, under_way)
    do_part(settings, under_way, *scoring[0])
    published = read(migrated_url, ALL)
    assert published.run_id.nunique() == 2

    with psycopg.connect(migrated_url) as connection:
        connection.execute(AS_0002)
        # Plans of runs that are no longer the last one are dropped after a day.
        connection.execute(
            "UPDATE analytics_runs SET plan = NULL WHERE status = 'succeeded'"
            " AND run_id NOT IN (SELECT run_id FROM analytics_published)"
        )
        connection.execute("CREATE VIEW promising AS SELECT mobile_id FROM rfm_segments WHERE segment = 'Promising'")
    assert read(migrated_url, ALL).equals(published)
    before = read(migrated_url, "SELECT * FROM promising ORDER BY 1")

    migrate(migrated_url)
    assert read(migrated_url, ALL).equals(published)
    assert read(migrated_url, "SELECT * FROM promising ORDER BY 1").equals(before) and len(before)
    for part in scoring[1:]:
        do_part(settings, under_way, *part)
    assert finish_inline(settings, under_way).run.status == "succeeded"
    scored = rfm_segments(migrated_url)
    assert scored.equals(published[list(scored)])
    for mode in ("incremental", "full"):
        assert run_inline(settings, "rfm", mode=mode).run.mode == mode
        assert rfm_segments(migrated_url).equals(scored)
