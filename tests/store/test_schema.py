"""Our tables in a separate schema, in a database where the CRM has tables and migrations of the same names."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from cli.doctor import examine
from errors import SettingsError
from postgres import connect, schema_of
from store.database import engine
from store.schema import SchemaError, grants, migrate, require_current
from tests.builders import plain_orders
from tests.system import fill, make_settings, read, run_inline
from webhook.app import create_app

CRMS_OWN = """
CREATE TABLE rfm_segments (rfm_id serial PRIMARY KEY, segment text);
INSERT INTO rfm_segments (segment) VALUES ('theirs');
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('9f3c')
"""
ORDERED = 'SELECT mobile_id, segment, monetary FROM {}rfm_segments ORDER BY mobile_id COLLATE "C"'


@pytest.fixture
def crm(database_url: str) -> str:
    """A CRM's database with orders, and with tables that have the names of ours."""
    fill(database_url, plain_orders(40))
    with psycopg.connect(database_url) as connection:
        connection.execute(CRMS_OWN)
    return database_url


def test_tables_of_others_are_reported_with_the_setting_that_makes_room(
    crm: str, redis_url: str, tmp_path: Path
) -> None:
    settings = make_settings(crm, tmp_path, redis_url)
    for refused in (migrate, require_current):
        with pytest.raises(SchemaError, match=r"alembic_version, rfm_segments.*RESULTS_SCHEMA=smartcrm") as reported:
            refused(crm)
        assert "\n" not in str(reported.value)
    with pytest.raises(SchemaError):
        create_app(settings)
    (error,) = [finding for finding in examine(settings, {}) if finding.subject == "results database"][:1]
    assert error.level == "fault" and "RESULTS_SCHEMA=smartcrm" in error.remedy
    assert len(read(crm, "SELECT FROM pg_class WHERE relname LIKE 'analytics%'")) == 0

    with psycopg.connect(crm) as connection:
        connection.execute("DROP TABLE rfm_segments, alembic_version; CREATE TABLE ix_analytics_events_due ()")
    with pytest.raises(SchemaError, match=r'"ix_analytics_events_due" already exists.*RESULTS_SCHEMA'):
        migrate(crm)


def test_results_live_in_a_schema_of_their_own_and_are_those_of_public(
    crm: str, other_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = make_settings(crm, tmp_path, redis_url, RESULTS_SCHEMA="smartcrm", RFM_SHARDS="3")
    usual = make_settings(other_database_url, tmp_path, redis_url, RFM_SHARDS="3")
    fill(other_database_url, plain_orders(40))
    for each in (settings, usual):
        version = migrate(each.database_url)
        assert migrate(each.database_url) == version
        require_current(each.database_url)
    client = create_app(settings).test_client()
    for mode in ("full", "incremental", "full"):
        for each in (settings, usual):
            for kind in ("rfm", "menu"):
                ended = run_inline(each, kind, mode=mode).run
                assert (ended.status, ended.mode) == ("succeeded", mode)
        assert read(crm, ORDERED.format("smartcrm.")).equals(read(other_database_url, ORDERED.format("")))
        menu = read(crm, "SELECT daytime_id, rank, menu_item_id, orders FROM smartcrm.menu_recommendation")
        assert menu.equals(
            read(other_database_url, "SELECT daytime_id, rank, menu_item_id, orders FROM menu_recommendation")
        ) and len(menu)
        for url in (crm, other_database_url):
            with psycopg.connect(url) as connection:
                connection.execute("UPDATE fact_transactions SET total_amount = total_amount + 5")
                connection.execute("INSERT INTO fact_transactions VALUES (9001 + random(0, 9999), 'new', 12, now())")
    token = {"Authorization": f"Bearer {settings.api_tokens[0]}"}
    assert client.get("/rfm_segments/c7", headers=token).get_json()["mobile_id"] == "c7"
    assert client.get("/readyz").get_json()["database"] == "ok"
    faults = [finding.found for finding in examine(settings, {"TIMEZONE": "UTC"}) if finding.level == "fault"]
    assert faults == []

    ours = read(
        crm,
        "SELECT nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relname ~ '^(analytics|rfm|menu|recommendation|segment|alembic)' AND nspname <> 'smartcrm'",
    )
    assert set(ours.relname) == {
        "rfm_segments",
        "rfm_segments_pkey",
        "rfm_segments_rfm_id_seq",
        "alembic_version",
        "alembic_version_pkey",
    }
    assert read(crm, "SELECT segment FROM rfm_segments").segment.tolist() == ["theirs"]
    assert read(crm, "SELECT version_num FROM alembic_version").version_num.tolist() == ["9f3c"]


def test_the_grants_that_are_printed_can_be_run_also_for_a_name_that_has_to_be_quoted(
    database_url: str, tmp_path: Path
) -> None:
    settings = make_settings(database_url, tmp_path, RESULTS_SCHEMA="order")
    migrate(settings.database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute(grants(settings.database_url).replace("reader", "current_user").encode())
        assert connection.execute('SELECT count(*) FROM "order".rfm_segments').fetchone() == (0,)


def test_the_orders_are_those_of_the_users_search_path_whatever_our_schema_holds(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA crm; ALTER DATABASE {connection.info.dbname} SET search_path = crm".encode())
    fill(database_url, plain_orders(5))
    with psycopg.connect(database_url) as connection:  # in public, which is ours, another of that name
        connection.execute("CREATE TABLE public.fact_transactions AS SELECT * FROM crm.fact_transactions LIMIT 2")
    migrate(database_url)
    settings = make_settings(database_url, tmp_path, redis_url)
    assert run_inline(settings, "rfm").run.counts["customers"] == 5  # type: ignore[index]
    assert run_inline(settings, "rfm", mode="incremental").run.status == "succeeded"
    assert len(read(database_url, "SELECT FROM public.rfm_segments")) == 5
    engine(database_url).dispose()


def test_an_older_installation_in_the_users_schema_is_named(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA crm; ALTER DATABASE {connection.info.dbname} SET search_path = crm".encode())
        connection.execute("CREATE TABLE crm.analytics_published ()")
    with pytest.raises(SchemaError, match="RESULTS_SCHEMA=crm"):
        migrate(database_url)


def test_the_schema_travels_in_the_url_and_not_to_the_server(database_url: str, tmp_path: Path) -> None:
    urls = (database_url, database_url + "&options=-csearch_path%3Dcrm", "postgresql://u:p?@a:1,b:2/db")
    for url in urls:
        marked = make_settings(url, tmp_path, RESULTS_SCHEMA="smartcrm").database_url
        assert (schema_of(url), schema_of(marked)) == ("public", "smartcrm")
    with connect(marked_url(urls[1], tmp_path), ours=True) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ('"smartcrm", crm',)


def marked_url(url: str, tmp_path: Path) -> str:
    return make_settings(url, tmp_path, RESULTS_SCHEMA="smartcrm").database_url


@pytest.mark.parametrize("name", ["Results", "pg_mine", "a-b", "information_schema", "a b", '"x"', "é"])
def test_a_schema_that_can_not_be_is_refused_by_its_name(name: str, database_url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="RESULTS_SCHEMA"):
        make_settings(database_url, tmp_path, RESULTS_SCHEMA=name)
