"""docs/drop-in.md, statement by statement, on the schema of a CRM with its own segments and rankings."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import psycopg
import pytest
import requests

from settings import Settings
from signatures import signed_headers
from tests import oracle
from tests.command import serving, smartcrm
from tests.oracle import Rules
from tests.system import read, wait_for

DOCUMENT = (Path(__file__).parent.parent / "docs" / "drop-in.md").read_text()
SQL = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)
TOML = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)[0]

CRM = """
CREATE TABLE dim_menu_items (item_id integer PRIMARY KEY, menu_item_name varchar, price float, category varchar);
CREATE TABLE dim_menu_daytimes (daytime_id integer PRIMARY KEY, daytime_label varchar, start_time time, end_time time);
CREATE TABLE fact_transactions (transaction_id integer PRIMARY KEY, mobile_id integer, total_amount float,
    created_at timestamp);
CREATE TABLE fact_transaction_items (id integer PRIMARY KEY, transaction_id integer REFERENCES fact_transactions,
    item_id integer REFERENCES dim_menu_items, quantity integer, price float);
CREATE TABLE rfm_segments (rfm_id serial PRIMARY KEY, mobile_id integer, recency_days integer, frequency integer,
    monetary float, "R_score" integer, "F_score" integer, "M_score" integer, "RFM_score" varchar, segment varchar,
    date_created timestamp);
CREATE TABLE menu_recommendations (id serial PRIMARY KEY, menu_item_id integer, daytime_id integer, rank integer);
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0001');
INSERT INTO rfm_segments (mobile_id, segment) VALUES (1, 'stale');
INSERT INTO dim_menu_items SELECT n, 'Dish ' || n, n + 0.5, 'Mains' FROM generate_series(1, 9) AS n;
INSERT INTO dim_menu_daytimes VALUES (1, 'Day', '06:00', '17:59'), (2, 'Evening', '18:00', '05:59');
INSERT INTO fact_transactions SELECT n, CASE WHEN n % 11 > 0 THEN 100 + n * n % 43 END, (n * 37 % 900) / 10.0 + 0.005,
    '2025-10-25 12:00'::timestamp + n * interval '83 minutes' FROM generate_series(1, 600) AS n;
INSERT INTO fact_transaction_items SELECT n, n % 600 + 1, n % 9 + 1, n % 3 + 1, (n % 7) + 0.25
    FROM generate_series(1, 1500) AS n;
"""
# As the CRM's API and front end ask.
ITS_QUERIES = {
    "summary": "SELECT segment, count(*) FROM rfm_segments GROUP BY segment ORDER BY segment",
    "customer": 'SELECT "R_score", "F_score", "M_score", "RFM_score", segment FROM rfm_segments WHERE mobile_id = 101',
    "now": "SELECT i.menu_item_name, r.rank FROM menu_recommendations r JOIN dim_menu_items i"
    " ON i.item_id = r.menu_item_id WHERE r.daytime_id = 1 ORDER BY r.rank",
}


@pytest.mark.long
def test_a_crm_with_tables_of_the_same_names_is_served_by_what_the_document_says(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    name = database_url.split("/")[3].split("?")[0]
    role = f"smartcrm_reader_{name}"
    orders_as_views, indexes, results_as_views = (part.replace("smartcrm_reader", role) for part in SQL)
    (tmp_path / "segments.toml").write_text(TOML)
    home = tmp_path / "home"
    env = {
        "DATABASE_URL": database_url,
        "RESULTS_SCHEMA": "smartcrm",
        "SOURCE_DATABASE_URL": database_url.replace("postgres:@", f"{role}:change-me@"),
        "REDIS_URL": redis_url,
        "TIMEZONE": "Europe/London",
        "SEGMENT_MAP": str(tmp_path / "segments.toml"),
    }
    with psycopg.connect(database_url, autocommit=True) as crm:
        crm.execute(CRM)
        without = smartcrm(home, "migrate", **{**env, "RESULTS_SCHEMA": "", "SOURCE_DATABASE_URL": database_url})
        assert without.returncode == 1 and "RESULTS_SCHEMA=smartcrm" in without.stderr
        assert without.stderr.count("\n") == 1
        try:
            crm.execute(orders_as_views.encode())
            crm.execute(indexes.encode())
            migrated = smartcrm(home, "migrate", **env)
            assert migrated.returncode == 0 and "GRANT USAGE ON SCHEMA smartcrm" in migrated.stdout, migrated.stderr
            crm.execute("ANALYZE")
            with serving(home, **env) as (_, reported):
                url = re.search(r"http://\S+/webhooks/imports", reported).group()  # type: ignore[union-attr]
                checked = smartcrm(home, "doctor", **env)
                assert checked.returncode == 0, checked.stdout + checked.stderr
                crm.execute(results_as_views.encode())
                _import(home, env, url)
                wait_for(lambda: all(len(read(database_url, query)) for query in ITS_QUERIES.values()), 120)
                _holds(database_url)
                # The next day's import, incremental this time.
                crm.execute("INSERT INTO fact_transactions VALUES (601, 101, 99.5, '2025-12-01 19:30')")
                crm.execute("INSERT INTO fact_transaction_items VALUES (1501, 601, 9, 2, 49.75)")
                _import(home, env, url)
                wait_for(lambda: _counted(crm) == 601, 120)
                wait_for(lambda: not len(read(database_url, _UNFINISHED)), 120)
                _holds(database_url)
            assert crm.execute("SELECT segment FROM rfm_segments_before").fetchall() == [("stale",)]
            assert crm.execute("SELECT version_num FROM public.alembic_version").fetchall() == [("0001",)]
        finally:
            crm.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


_UNFINISHED = "SELECT run_id FROM smartcrm.analytics_runs WHERE status IN ('pending', 'running')"


def _counted(crm: psycopg.Connection[tuple[int, ...]]) -> int:
    row = crm.execute(
        "SELECT max(transaction_id) FROM fact_transactions"
        " WHERE (SELECT sum(frequency) FROM rfm_segments) = (SELECT count(*) FROM fact_transactions"
        "  WHERE mobile_id IS NOT NULL AND round(total_amount::numeric, 2) > 0)"
    ).fetchone()
    return int(row[0] or 0) if row else 0


def _import(home: Path, env: dict[str, str], url: str) -> None:
    """What the CRM's import does when it has ended."""
    settings = Settings.from_env(env | {"SMARTCRM_HOME": str(home)})
    body, now = '{"type": "import.completed"}', datetime.now(UTC)
    headers = {"Content-Type": "application/json"}
    headers |= signed_headers(settings.webhook_secrets[:1], f"import_{now.timestamp()}", now, body)
    answer = requests.post(url, body, headers=headers, timeout=30)
    assert answer.status_code == 202, answer.text


def _holds(url: str) -> None:
    """Check that the views, read by the CRM's names, have the oracle's results for its rows."""
    as_of = dict(read(url, "SELECT kind, as_of FROM smartcrm.analytics_published").itertuples(index=False))
    sold = read(
        url,
        "SELECT transaction_id, mobile_id::text, total_amount,"
        " created_at AT TIME ZONE 'Europe/London' AS created_at FROM fact_transactions",
    )
    lines = read(url, "SELECT * FROM fact_transaction_items")
    clocks = tuple(read(url, "SELECT * FROM dim_menu_daytimes ORDER BY 1").itertuples(index=False, name=None))
    rules = {kind: Rules(as_of=moment, timezone="Europe/London", dayparts=clocks) for kind, moment in as_of.items()}
    renamed = dict(re.findall(r'"(\w+)" = "([\d ]+)"', TOML))
    label = {code: name for name, codes in renamed.items() for code in codes.split()}
    expected = oracle.rfm(sold, rules["rfm"])
    found = read(url, "SELECT * FROM rfm_segments").sort_values("mobile_id")
    assert [*found.columns] == [
        *("rfm_id", "mobile_id", "recency_days", "frequency", "monetary"),
        *("R_score", "F_score", "M_score", "RFM_score", "segment", "date_created"),
    ]
    wanted = {
        int(row.mobile_id): (row.recency_days, row.frequency, float(row.monetary), row.rfm_score, label[row.rfm_score])
        for row in expected.itertuples()
    }
    assert {
        row.mobile_id: (row.recency_days, row.frequency, row.monetary, row.RFM_score, row.segment)
        for row in found.itertuples()
    } == wanted
    menu = oracle.menu(sold, lines, rules["menu"])
    ranked = read(url, "SELECT daytime_id, rank, menu_item_id FROM menu_recommendations ORDER BY 1, 2")
    order = menu.sort_values(["daytime_id", "rank"])[["daytime_id", "rank", "menu_item_id"]]
    assert ranked.to_numpy().tolist() == pd.DataFrame(order).to_numpy().tolist() and len(ranked)
