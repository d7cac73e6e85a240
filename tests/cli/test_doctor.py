"""The doctor finds problems, and its remedies fix them."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from cli.doctor import examine
from settings import Settings
from source.checks import Finding
from source.load import load
from store.database import engine
from tests.builders import plain_orders
from tests.system import fill, make_settings, run_inline

SET = {"TIMEZONE": "Europe/London", "DATABASE_URL": "set", "REDIS_URL": "set"}


def found(settings: Settings, level: str, env: dict[str, str] = SET) -> list[Finding]:
    return [finding for finding in examine(settings, env) if finding.level == level]


@pytest.fixture
def settings(migrated_url: str, redis_url: str, tmp_path: Path) -> Settings:
    load(migrated_url, {}, timezone="UTC")
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    return make_settings(migrated_url, tmp_path, redis_url, TIMEZONE="Europe/London")


def test_a_well_kept_system_has_neither_fault_nor_warning(settings: Settings) -> None:
    assert found(settings, "fault") == [] and found(settings, "warning") == []
    assert len(found(settings, "ok")) >= 9


def test_indexes_that_are_missing_are_reported_with_the_ddl_that_adds_them(settings: Settings) -> None:
    fill(settings.database_url, plain_orders())
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("ANALYZE")
        missing = found(settings, "warning")
        assert {finding.found for finding in missing} == {
            "no index on transaction_id",
            "no index on mobile_id",
            "no index on created_at",
        }
        for finding in missing:
            connection.execute(finding.remedy.encode())
    assert found(settings, "warning") == []


def test_tables_that_were_never_analyzed_are_reported(settings: Settings) -> None:
    fill(settings.database_url, plain_orders())
    reported = [finding.remedy for finding in found(settings, "warning") if "analyzed" in finding.found]
    assert reported == ["ANALYZE fact_transactions;", "ANALYZE fact_transaction_items;", "ANALYZE dim_menu_items;"]


def test_a_reader_who_may_write_is_reported_with_the_revoke(settings: Settings, tmp_path: Path) -> None:
    user = f"crm_{settings.database_url.split('/')[3].split('?')[0]}"
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {user} LOGIN".encode())
        try:
            connection.execute(f"GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA public TO {user}".encode())
            reader = make_settings(
                settings.database_url,
                tmp_path,
                settings.redis_url,
                TIMEZONE="UTC",
                SOURCE_DATABASE_URL=settings.database_url.replace("postgres:@", f"{user}:@"),
            )
            reported = [finding for finding in found(reader, "warning") if "may write" in finding.found]
            assert [finding.subject for finding in reported] == [
                "fact_transactions",
                "fact_transaction_items",
                "dim_menu_items",
            ]
            for finding in reported:
                connection.execute(finding.remedy.encode())
            assert found(reader, "warning") == []
        finally:
            connection.execute(f"DROP OWNED BY {user}; DROP ROLE {user}".encode())


def test_what_would_fail_a_run_is_a_fault(settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "INSERT INTO dim_menu_daytimes VALUES (1, 'A', '10:00', '12:00'), (2, 'B', '11:00', '13:00')"
        )
        connection.execute("ALTER TABLE fact_transactions DROP COLUMN total_amount")
    reported = " ".join(finding.found for finding in found(settings, "fault"))
    assert "1 'A'" in reported and "overlap" in reported and "no column total_amount" in reported


def test_servers_that_are_away_are_faults(tmp_path: Path) -> None:
    away = make_settings("postgresql://127.0.0.1:1/x", tmp_path, "redis://127.0.0.1:1/0")
    assert {finding.subject for finding in found(away, "fault")} == {"results database", "source", "dayparts", "Redis"}


def test_secrets_of_few_characters_are_weak_at_any_length(settings: Settings, tmp_path: Path) -> None:
    same = {"API_TOKENS": "ab" * 32, "FLOWER_PASSWORD": "p" * 32, "WEBHOOK_SECRETS": "whsec_" + "AAAA" * 10}
    weak = make_settings(settings.database_url, tmp_path, settings.redis_url, **same)
    assert {finding.subject for finding in found(weak, "warning", {})} >= set(same)


def test_weak_secrets_and_embedded_servers_are_warnings(settings: Settings, tmp_path: Path) -> None:
    weak = make_settings(
        settings.database_url,
        tmp_path,
        settings.redis_url,
        API_TOKENS="short-tok",
        FLOWER_PASSWORD="password",
        WEBHOOK_SECRETS="whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
    )
    reported = {finding.subject for finding in found(weak, "warning", {})}
    assert reported == {"API_TOKENS", "FLOWER_PASSWORD", "WEBHOOK_SECRETS", "TIMEZONE", "DATABASE_URL", "REDIS_URL"}


def test_a_cost_that_is_no_number_is_reported_with_the_view_that_mends_it(settings: Settings) -> None:
    fill(settings.database_url, plain_orders())
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE dim_menu_items ALTER cost TYPE money")
    reported = [finding for finding in found(settings, "warning") if "cost" in finding.found]
    assert [finding.found for finding in reported] == [
        "dim_menu_items.cost has type money, which is not an amount, so it is not used."
    ]
    assert "t.cost::numeric AS cost" in reported[0].remedy


STRANGE = """
CREATE TABLE fact_transactions (transaction_id uuid PRIMARY KEY, mobile_id int, total_amount money,
 created_at timestamp);
CREATE TABLE fact_transaction_items (id int, transaction_id uuid, item_id text, quantity int, price money);
CREATE TABLE dim_menu_items (item_id text, menu_item_name text);
INSERT INTO fact_transactions
SELECT gen_random_uuid(), 400 + n % 7, (n % 5 + 10)::money, '2026-03-02 12:00'::timestamp + n * interval '1 h'
FROM generate_series(1, 60) AS n;
INSERT INTO fact_transaction_items
SELECT row_number() OVER (), transaction_id, CASE WHEN random() < 0.5 THEN 'soup' ELSE 'chips' END, 1, 5::money
FROM fact_transactions;
INSERT INTO dim_menu_items VALUES ('soup', 'Soup'), ('chips', 'Fish [/chips]');
"""


def test_all_wrong_columns_are_reported_at_once_with_the_view_that_fixes_them(
    migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute(STRANGE)
        strange = make_settings(migrated_url, tmp_path, redis_url, TIMEZONE="Europe/London")
        reported = [finding for finding in found(strange, "fault") if finding.subject.startswith(("fact_", "dim_"))]
        assert [(finding.subject, finding.found.count("The source")) for finding in reported] == [
            ("fact_transactions", 4),
            ("fact_transaction_items", 3),
            ("dim_menu_items", 2),
        ]
        user = f"crm_{migrated_url.split('/')[3].split('?')[0]}"
        connection.execute(f"CREATE ROLE {user} LOGIN SUPERUSER".encode())
        try:
            reader = make_settings(
                migrated_url,
                tmp_path,
                redis_url,
                TIMEZONE="Europe/London",
                SOURCE_DATABASE_URL=migrated_url.replace("postgres:@", f"{user}:@"),
            )
            for finding in [each for each in found(reader, "fault") if each.subject.startswith(("fact_", "dim_"))]:
                connection.execute(finding.remedy.encode())
            assert found(reader, "fault") == []
            for kind in ("rfm", "menu"):
                for mode in ("full", "incremental"):
                    ended = run_inline(reader, kind, mode=mode).run
                    assert (ended.status, ended.mode) == ("succeeded", mode)
            rows = connection.execute("SELECT count(*), sum(frequency), sum(monetary) FROM rfm_segments").fetchone()
            assert (
                rows
                == connection.execute(
                    "SELECT count(DISTINCT mobile_id), count(*), sum(total_amount::numeric)"
                    " FROM public.fact_transactions"
                ).fetchone()
            )
            named = connection.execute("SELECT DISTINCT menu_item_name FROM menu_results ORDER BY 1").fetchall()
            assert named == [("Fish [/chips]",), ("Soup",)]
            # 13:00 on that day in London is winter time: lunch, and not another daypart by UTC or the server's zone.
            assert connection.execute(
                "SELECT min(created_at) = '2026-03-02 13:00+00' FROM smartcrm_source.fact_transactions"
            ).fetchone() == (True,)
        finally:
            engine(migrated_url).dispose()
            connection.execute(f"DROP OWNED BY {user}; DROP ROLE {user}".encode())


def test_what_the_menu_is_ranked_by_and_leaves_out_has_to_be_there(settings: Settings, tmp_path: Path) -> None:
    fill(settings.database_url, plain_orders())
    rules = {"MENU_RANK_BY": "margin", "MENU_EXCLUDE": "category:starters,category:Tips"}
    requested = make_settings(settings.database_url, tmp_path, settings.redis_url, TIMEZONE="Europe/London", **rules)
    reported = {finding.subject: finding.found for finding in found(requested, "warning")}
    assert reported["MENU_EXCLUDE"] == "no item has the category 'Tips'"
    assert reported["MENU_RANK_BY"] == "1 of 1 items have no cost: they rank last"
