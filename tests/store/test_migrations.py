"""Published results and running runs of older versions continue after a migration; long, since it has the state of each
older version in SQL.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from errors import UnavailableError
from kinds.rfm.results import SEGMENT_COLUMNS
from store import event_keys, inbox
from store.database import transaction
from store.schema import migrate
from tests import oracle
from tests.builders import items, plain_orders, transactions
from tests.oracle import Rules
from tests.system import (
    do_part,
    fill,
    finish_inline,
    make_settings,
    menu_recommendation,
    read,
    rfm_segments,
    run_inline,
)
from worker import steering

# Recency as version 0017 stored it, in results and in the staging of a run under way.
AS_0017 = """
DROP VIEW metric_series;
ALTER TABLE metric_results DROP last_points;
DROP TABLE metric_cohort_tallies;
CREATE TABLE metric_cohort_tallies (
    generation BIGINT, cohort DATE, month DATE, part INTEGER, customers BIGINT, cents BIGINT,
    CONSTRAINT pk_metric_cohort_tallies PRIMARY KEY (generation, cohort, month, part)
);
DROP VIEW rfm_segments;
DROP TABLE rfm_counts, rfm_groups, segment_flows, analytics_mails;
ALTER TABLE rfm_results DROP cluster_id, DROP overdue;
ALTER TABLE analytics_ledger DROP digest;
INSERT INTO analytics_ledger (generation, part, kind, keys) VALUES (0, 0, 'recommendations', '{c:a,h:7:2:-5,d:9}');
ALTER TABLE rfm_results ADD recency_days INTEGER;
UPDATE rfm_results SET recency_days = today - '2000-01-01'::date - last_day
    FROM (SELECT max((plan ->> 'business_date')::date) AS today FROM analytics_runs WHERE kind = 'rfm') AS last;
ALTER TABLE rfm_results DROP last_day, ALTER recency_days SET NOT NULL;
DO $$ DECLARE name TEXT; BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relname LIKE 'rfm_staging%' AND relkind = 'r'
    LOOP
        EXECUTE format('ALTER TABLE %I ADD recency_days INTEGER', name);
        EXECUTE format('UPDATE %I SET recency_days = (SELECT max((plan ->> %L)::date) FROM analytics_runs'
            ' WHERE kind = %L) - %L::date - last_day', name, 'business_date', 'rfm', '2000-01-01');
        EXECUTE format('ALTER TABLE %I DROP last_day', name);
    END LOOP;
END $$;
UPDATE analytics_runs SET counts = counts - 'near';
CREATE VIEW rfm_segments AS
SELECT r.mobile_id, r.recency_days, r.frequency, (r.cents / 100.0)::numeric(14, 2) AS monetary,
       r.r_score, r.f_score, r.m_score, (100 * r.r_score + 10 * r.f_score + r.m_score)::text AS rfm_score,
       (SELECT segment_names FROM analytics_runs JOIN analytics_published USING (run_id)
        WHERE analytics_published.kind = 'rfm')[r.segment_number] AS segment,
       w.run_id, w.started_at AS computed_at, r.first_purchase_at
FROM rfm_results AS r LEFT JOIN analytics_runs AS w ON w.generation = r.written_by
WHERE r.generation = (SELECT generation FROM analytics_published WHERE kind = 'rfm');
UPDATE alembic_version SET version_num = '0017';
"""
# Without what came to the menu and to segments after version 0011.
AS_0011 = f"""
{AS_0017}
DROP VIEW menu_recommendation, rfm_segments;
DROP TABLE menu_rank_history, segment_history;
ALTER TABLE menu_results DROP previous_rank;
ALTER TABLE rfm_results DROP first_purchase_at;
CREATE VIEW menu_recommendation AS
SELECT daytime_id, menu_item_id, rank, orders, (quantity * (1.0 / quantity_unit))::numeric(18, 3) AS quantity,
       share, run_id, created_at
FROM menu_results
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'menu');
CREATE VIEW rfm_segments AS
SELECT r.mobile_id, r.recency_days, r.frequency, (r.cents / 100.0)::numeric(14, 2) AS monetary,
       r.r_score, r.f_score, r.m_score, (100 * r.r_score + 10 * r.f_score + r.m_score)::text AS rfm_score,
       (SELECT segment_names FROM analytics_runs JOIN analytics_published USING (run_id)
        WHERE analytics_published.kind = 'rfm')[r.segment_number] AS segment,
       w.run_id, w.started_at AS computed_at
FROM rfm_results AS r LEFT JOIN analytics_runs AS w ON w.generation = r.written_by
WHERE r.generation = (SELECT generation FROM analytics_published WHERE kind = 'rfm');
"""
# The deliveries as version 0004 had them.
AS_0004 = f"""
{AS_0011}
DROP TABLE menu_items;
ALTER TABLE menu_tallies DROP margins;
ALTER TABLE menu_totals DROP margins;
ALTER TABLE menu_tallies RENAME COLUMN day_bucket TO stretch;
UPDATE analytics_runs SET plan = plan - 'recompute_all' || jsonb_build_object('everything', plan -> 'recompute_all')
WHERE jsonb_exists(plan, 'recompute_all');
DROP TABLE IF EXISTS analytics_event_keys, analytics_ledger, analytics_nights, analytics_models,
    analytics_default_kinds;
DO $$ DECLARE name TEXT; BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid)
        AND relname ~ '^(cluster|metric|prediction|recommendation)_'
    LOOP EXECUTE format('DROP TABLE IF EXISTS %I CASCADE', name); END LOOP;
END $$;
ALTER TABLE analytics_runs DROP IF EXISTS waits_for;
CREATE UNIQUE INDEX IF NOT EXISTS uq_analytics_runs_waiting ON analytics_runs (kind)
    WHERE status = 'pending' AND NOT as_of_given;
ALTER TABLE analytics_deliveries DROP sender, ADD CONSTRAINT pk_analytics_deliveries PRIMARY KEY (delivery_id);
UPDATE alembic_version SET version_num = '0004';
"""
# The tables as version 0002 had them, from those of version 0004.
AS_0002 = """
DROP TABLE IF EXISTS analytics_event_keys, analytics_ledger, analytics_nights, analytics_models,
    analytics_default_kinds;
DO $$ DECLARE name TEXT; BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid)
        AND relname ~ '^(cluster|metric|prediction|recommendation)_'
    LOOP EXECUTE format('DROP TABLE IF EXISTS %I CASCADE', name); END LOOP;
END $$;
ALTER TABLE analytics_runs DROP IF EXISTS waits_for;
CREATE UNIQUE INDEX IF NOT EXISTS uq_analytics_runs_waiting ON analytics_runs (kind)
    WHERE status = 'pending' AND NOT as_of_given;
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
ALL = f"SELECT {', '.join(SEGMENT_COLUMNS[:-1])} FROM rfm_segments ORDER BY mobile_id"  # what all versions have
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_results_of_version_0002_stay_and_its_runs_go_on(migrated_url: str, tmp_path: Path) -> None:
    fill(migrated_url, plain_orders(200))
    settings = make_settings(migrated_url, tmp_path, RFM_SHARDS="3")
    run_inline(settings, "rfm")
    with psycopg.connect(migrated_url) as connection:
        connection.execute("UPDATE fact_transactions SET total_amount = 4000 WHERE transaction_id < 10")
    run_inline(settings, "rfm", mode="incremental", named_ids=(0, 9))
    with transaction(migrated_url) as session:
        under_way = inbox.request(session, ["rfm"])[0].run_id
    for part in steering.advance(settings, under_way):
        do_part(settings, under_way, *part)
    scoring = steering.advance(settings, under_way)
    do_part(settings, under_way, *scoring[0])
    published = read(migrated_url, ALL)
    assert published.run_id.nunique() == 2

    with psycopg.connect(migrated_url) as connection:
        connection.execute(MENU_AS_0003 + AS_0002)  # type: ignore[arg-type]
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


@pytest.mark.parametrize("done", ["nothing", "aggregated", "scored"])
def test_recency_of_version_0017_becomes_the_last_day_and_its_runs_go_on(
    migrated_url: str, tmp_path: Path, done: str
) -> None:
    fill(migrated_url, plain_orders(200))
    settings = make_settings(migrated_url, tmp_path, RFM_SHARDS="3")
    run_inline(settings, "rfm")
    with transaction(migrated_url) as session:
        under_way = inbox.request(session, ["rfm"])[0].run_id
    sent = steering.advance(settings, under_way)
    if done != "nothing":
        for part in sent:
            do_part(settings, under_way, *part)
        sent = []
    if done == "scored":
        first, *sent = steering.advance(settings, under_way)
        do_part(settings, under_way, *first)
    published = rfm_segments(migrated_url)
    with psycopg.connect(migrated_url) as connection:
        connection.execute(AS_0017)  # type: ignore[arg-type]
        connection.execute(
            "UPDATE analytics_runs SET plan = NULL WHERE status = 'succeeded'"
            " AND run_id NOT IN (SELECT run_id FROM analytics_published)"
        )
    assert rfm_segments(migrated_url).equals(published)
    migrate(migrated_url)
    assert rfm_segments(migrated_url).equals(published)
    moved = read(migrated_url, "SELECT keys, digest FROM analytics_ledger WHERE generation = 0")
    assert moved.values.tolist() == [[["c:a", "d:9"], "7:2:-5"]]
    for part in sent:
        do_part(settings, under_way, *part)
    ended = finish_inline(settings, under_way).run
    assert ended.status == "succeeded", ended.error
    assert rfm_segments(migrated_url).equals(published)
    for mode in ("incremental", "full"):
        assert run_inline(settings, "rfm", mode=mode).run.mode == mode
        assert rfm_segments(migrated_url).equals(published)


# The menu's results as version 0003 had them.
MENU_AS_0003 = f"""
{AS_0004}
DROP VIEW menu_recommendation;
ALTER TABLE menu_results DROP quantity_unit;
CREATE VIEW menu_recommendation AS
SELECT daytime_id, menu_item_id, rank, orders, quantity, share, run_id, created_at
FROM menu_results
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'menu');
UPDATE alembic_version SET version_num = '0003';
"""
READERS = """
CREATE ROLE {reader} NOLOGIN;
GRANT SELECT ON menu_recommendation TO {reader} WITH GRANT OPTION;
COMMENT ON VIEW menu_recommendation IS 'what sells';
CREATE SCHEMA "Bi";
CREATE VIEW "Bi"."Best" WITH (security_barrier = true) AS
    SELECT r.*, quantity / orders AS each, 'L%' AS "50 %" FROM menu_recommendation AS r WHERE rank = 1;
CREATE VIEW best_ids AS SELECT menu_item_id, "each" FROM "Bi"."Best" JOIN menu_recommendation USING (menu_item_id);
ALTER VIEW best_ids OWNER TO {reader};
GRANT SELECT (menu_item_id) ON "Bi"."Best" TO PUBLIC;
COMMENT ON COLUMN "Bi"."Best"."each" IS 'pieces per order';
"""
STATE = """
SELECT c.oid::regclass::text AS name, relowner::regrole::text AS owner, reloptions::text,
    ARRAY(SELECT acl::text FROM aclexplode(coalesce(relacl, acldefault('r', relowner))) AS acl ORDER BY 1) AS grants,
    ARRAY(SELECT attname || ' ' || coalesce(attacl::text, '') || coalesce(col_description(c.oid, attnum), '')
        FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 ORDER BY attnum) AS columns,
    obj_description(c.oid) AS comment
FROM pg_class AS c WHERE oid IN ('menu_recommendation'::regclass, '"Bi"."Best"'::regclass, 'best_ids'::regclass)
ORDER BY 1
"""


def test_the_menus_view_changes_a_columns_type_and_keeps_its_readers(migrated_url: str, tmp_path: Path) -> None:
    fill(migrated_url, plain_orders(200))
    settings = make_settings(migrated_url, tmp_path)
    run_inline(settings, "menu")
    reader = f"reader_{psycopg.conninfo.conninfo_to_dict(migrated_url)['dbname']}"
    with psycopg.connect(migrated_url) as connection:
        connection.execute(MENU_AS_0003 + READERS.format(reader=reader))  # type: ignore[arg-type]
    published, state = menu_recommendation(migrated_url), read(migrated_url, STATE)
    best = read(migrated_url, 'SELECT menu_item_id, quantity FROM "Bi"."Best" ORDER BY 1')
    try:
        migrate(migrated_url)
        now = read(migrated_url, STATE)
        (added,) = [columns.pop() for name, columns in zip(now["name"], now["columns"], strict=True) if "menu_" in name]
        assert added == "previous_rank " and now.equals(state)
        assert menu_recommendation(migrated_url).equals(published)
        assert read(migrated_url, 'SELECT menu_item_id, quantity FROM "Bi"."Best" ORDER BY 1').equals(best)
        kind = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = 'quantity' AND attrelid = "
        assert read(migrated_url, kind + "'menu_recommendation'::regclass").iat[0, 0] == "numeric(18,3)"
        with psycopg.connect(migrated_url) as connection:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(reader)))
            assert connection.execute("SELECT count(*) FROM menu_recommendation").fetchone() == (len(published),)
        # Integers as quantities: nothing has to be computed anew.
        assert run_inline(settings, "menu", mode="incremental").run.mode == "incremental"
    finally:
        with psycopg.connect(migrated_url) as connection:
            connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(reader)))


@pytest.mark.parametrize(
    ("dependent", "named"),
    [
        ("CREATE MATERIALIZED VIEW top AS SELECT * FROM menu_recommendation", "materialized view top"),
        (
            "CREATE FUNCTION top() RETURNS SETOF menu_recommendation LANGUAGE sql AS 'TABLE menu_recommendation'",
            "top()",
        ),
        ("CREATE VIEW odd AS SELECT to_hex(quantity) FROM menu_recommendation", "public.odd"),
        ("CREATE RULE no AS ON INSERT TO menu_recommendation DO INSTEAD NOTHING", "the rule no"),
    ],
)
def test_what_can_not_be_kept_beside_the_menus_view_is_refused_by_name(
    migrated_url: str, dependent: str, named: str
) -> None:
    with psycopg.connect(migrated_url) as connection:
        connection.execute(MENU_AS_0003 + dependent)  # type: ignore[arg-type]
    with pytest.raises(UnavailableError, match="menu_recommendation gets another column type") as refused:
        migrate(migrated_url)
    assert named in str(refused.value) and "\n" not in str(refused.value)
    assert read(migrated_url, "SELECT version_num FROM alembic_version").iat[0, 0] == "0003"


def test_a_run_that_counted_weighed_goods_as_pieces_is_planned_again(migrated_url: str, tmp_path: Path) -> None:
    sold = transactions([(n, "a", "5.00", NOON - timedelta(hours=n)) for n in range(60)])
    lines = items([(n, n % 3, "0.35", "4.00") for n in range(60)])
    fill(migrated_url, {"fact_transactions": sold, "fact_transaction_items": lines}, quantity="numeric")
    settings = make_settings(migrated_url, tmp_path)
    run_inline(settings, "menu")
    with transaction(migrated_url) as session:
        under_way = inbox.request(session, ["menu"])[0].run_id
    for part in steering.advance(settings, under_way):
        do_part(settings, under_way, *part)
    with psycopg.connect(migrated_url) as connection:
        # What that version made of them: plans without a unit, and pieces.
        connection.execute("UPDATE analytics_runs SET plan = plan - 'quantity_unit'")
        connection.execute("UPDATE menu_tallies SET quantities = array_fill(0, ARRAY[cardinality(quantities)])")
        connection.execute(MENU_AS_0003)  # type: ignore[arg-type]
    migrate(migrated_url)
    ended = finish_inline(settings, under_way).run
    assert ended.status == "succeeded", ended.error
    oracle.compare_menu(menu_recommendation(migrated_url), oracle.menu(sold, lines, Rules(as_of=ended.as_of)))


def test_a_delivery_of_version_0004_keeps_its_runs_under_its_sender(migrated_url: str, tmp_path: Path) -> None:
    night, imported = {"type": "nightly", "business_date": "2026-03-02"}, {"type": "import.completed"}
    stored: list[tuple[str, dict[str, Any]]] = [
        ("nightly 2026-03-02", night),
        ("nightly 2026-03-03", imported),  # a webhook-id that looked like ours
        ("msg_1", imported),
        ("api_1", {"kinds": ["rfm"], "mode": "full", "as_of": None}),
    ]
    requested = [uuid4() for _ in stored]
    with psycopg.connect(migrated_url) as connection:
        connection.execute(AS_0004)
        for run_id, (name, body) in zip(requested, stored, strict=True):
            connection.execute(
                "INSERT INTO analytics_runs (run_id, kind, mode, status, as_of_given, named_ids)"
                " VALUES (%s, 'rfm', 'full', 'cancelled', false, '[]')",
                [run_id],
            )
            connection.execute(
                "INSERT INTO analytics_deliveries (delivery_id, body, run_ids) VALUES (%s, %s, %s)",
                [name, Jsonb(body), [run_id]],
            )
        connection.execute(
            "INSERT INTO analytics_events (event_id, run_id, url, body, state, created_at, attempts, next_attempt_at)"
            " VALUES (gen_random_uuid(), %s, 'http://crm.test/', '{}', 'delivered', now(), 1, now())",
            [requested[0]],
        )
    migrate(migrated_url)
    assert read(migrated_url, "SELECT asked_for FROM analytics_nights").asked_for.tolist() == [date(2026, 3, 2)]
    settings = make_settings(migrated_url, tmp_path, EVENT_URLS="http://crm.test/ http://new.test/")
    with transaction(migrated_url) as session:
        known, new = (event_keys.signing(session, settings, url) for url in settings.event_urls)
        assert known[1:] == settings.webhook_secrets and len(new) == 1

    def again(sender: inbox.Sender, name: str) -> UUID:
        return inbox.deliver(migrated_url, sender, name, {}, ["rfm"], "full")[0].run_id

    assert again("nightly", "2026-03-02") == requested[0]
    assert again("webhook", "nightly 2026-03-03") == requested[1]
    assert again("webhook", "msg_1") == requested[2]
    assert again("api", "api_1") == requested[3]
    assert again("webhook", "2026-03-02") not in requested and again("nightly", "2026-03-03") not in requested


def test_a_database_that_version_0003_left_with_runs_under_way_is_taken_up(database_url: str, tmp_path: Path) -> None:
    # Written by that version: both kinds published, one customer shard scored and one daypart ranked of the next runs.
    dump = (Path(__file__).parent / "dumps" / "version_0003.sql").read_text()
    with psycopg.connect(database_url) as connection:
        connection.execute(dump)  # type: ignore[arg-type]
        # A run may take a day, and the dump is older.
        connection.execute("UPDATE analytics_runs SET started_at = now() WHERE status = 'running'")
        working = connection.execute("SELECT run_id FROM analytics_runs WHERE status = 'running'").fetchall()
    assert len(working) == 2

    migrate(database_url)
    settings = make_settings(database_url, tmp_path, RFM_SHARDS="3")
    ended = {run.kind: run for run in (finish_inline(settings, run_id).run for (run_id,) in working)}
    assert {kind: run.status for kind, run in ended.items()} == {"rfm": "succeeded", "menu": "succeeded"}

    sold = read(database_url, "SELECT * FROM fact_transactions")
    lines = read(database_url, "SELECT * FROM fact_transaction_items")
    rules = {kind: Rules(as_of=run.as_of) for kind, run in ended.items() if run.as_of}
    oracle.compare_rfm(rfm_segments(database_url), oracle.rfm(sold, rules["rfm"]))
    oracle.compare_menu(menu_recommendation(database_url), oracle.menu(sold, lines, rules["menu"]))
    changes = read(database_url, "SELECT run_id FROM segment_changes").run_id.tolist()
    assert changes.count(ended["rfm"].run_id) == (ended["rfm"].counts or {})["moved_customers"] > 0
