"""PostgreSQL in various set-ups: other settings, encodings, schemas and poolers."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from postgres import connect, scalar
from settings import Settings
from source import reading
from source.window import use_time_zone
from store.database import driver, engine, snapshot, transaction
from store.schema import migrate
from tests.builders import plain_orders
from tests.conftest import fresh_database
from tests.pooler import pgbouncer
from tests.system import Workers, fill, make_settings, run_inline

HOSTILE = {
    "DateStyle": "'German, DMY'",
    "IntervalStyle": "sql_standard",
    "TimeZone": "'Asia/Kathmandu'",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "statement_timeout": "'20s'",
    "lock_timeout": "'20s'",
    "idle_in_transaction_session_timeout": "'20s'",
    "transaction_timeout": "'20s'",
    "default_transaction_isolation": "serializable",
    "synchronous_commit": "off",
    "client_encoding": "LATIN1",
    "search_path": "crm, public",
}
ENVIRONMENT = {"PGDATESTYLE": "SQL, DMY", "PGCLIENTENCODING": "LATIN1", "PGTZ": "America/New_York"}
RELIED_ON = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "extra_float_digits": "1",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "transaction_isolation": "read committed",
    "client_encoding": "UTF8",
    "synchronous_commit": "on",
}


def shown(connection: psycopg.Connection[tuple[object, ...]]) -> dict[str, str]:
    query = sql.SQL("SELECT {}").format(
        sql.SQL(", ").join(sql.SQL("current_setting({})").format(sql.Literal(name)) for name in RELIED_ON)
    )
    return dict(zip(RELIED_ON, connection.execute(query).fetchone() or (), strict=True))  # type: ignore[arg-type]


def made_hostile(url: str) -> None:
    """Set everything that a role or a database can have to unusual values; the orders are in a separate schema."""
    with psycopg.connect(url, autocommit=True) as admin:
        name = sql.Identifier(conninfo_to_dict(url)["dbname"])  # type: ignore[arg-type]
        for setting, value in HOSTILE.items():
            admin.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(name, sql.SQL(setting), sql.SQL(value)))
        admin.execute("CREATE SCHEMA crm")


def results(settings: Settings) -> list[pd.DataFrame]:
    """Both kinds, full and then incremental after an import, as published."""
    found = []
    for mode in ("full", "incremental"):
        for kind in ("rfm", "menu"):
            ended = run_inline(settings, kind, mode=mode).run
            assert (ended.status, ended.mode) == ("succeeded", mode), ended.error
        with closing(connect(settings.database_url, ours=True)) as reader:
            for query in (
                "SELECT mobile_id, segment, monetary FROM rfm_segments ORDER BY 1",
                "SELECT daytime_id, rank, menu_item_id, orders, share FROM menu_recommendation ORDER BY 1, 2",
            ):
                found.append(pd.DataFrame(reader.execute(query).fetchall()))
        with closing(connect(settings.source_database_url)) as crm:
            crm.execute("INSERT INTO fact_transactions VALUES (9001, 'Zoë', 12.5, now() - interval '1 hour')")
            crm.execute("INSERT INTO fact_transaction_items VALUES (9001, 9001, 1, 2, 6.25)")
            crm.execute("INSERT INTO dim_menu_items VALUES (1, 'Crème brûlée', 6.25, 'Desserts')")
    return found


def same(found: list[pd.DataFrame], expected: list[pd.DataFrame]) -> bool:
    return all(len(frame) for frame in found) and all(a.equals(b) for a, b in zip(found, expected, strict=True))


@pytest.fixture(scope="module")
def expected(servers: dict[str, str], migrated: str, tmp_path_factory: pytest.TempPathFactory) -> list[pd.DataFrame]:
    """The results of 40 orders in a database with default settings."""
    with fresh_database(servers, migrated) as url:
        fill(url, plain_orders(40), amount="float8")
        found = results(make_settings(url, tmp_path_factory.mktemp("expected")))
        engine(url).dispose()
    return found


@pytest.mark.parametrize("separate", [False, True], ids=["one database", "two databases"])
def test_settings_of_a_role_a_database_or_the_environment_make_no_difference(
    database_url: str,
    other_database_url: str,
    expected: list[pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    separate: bool,
) -> None:
    made_hostile(database_url)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    fill(database_url, plain_orders(40), amount="float8")
    with psycopg.connect(database_url) as crm:
        assert crm.execute("SELECT 'crm.fact_transactions'::regclass = 'fact_transactions'::regclass").fetchone() == (
            True,
        )
        crm.execute("CREATE TABLE public.fact_transactions (transaction_id text)")
    ours = database_url
    if separate:
        made_hostile(other_database_url)
        ours = other_database_url
    migrate(ours)
    settings = make_settings(ours, tmp_path, SOURCE_DATABASE_URL=database_url)
    assert settings.source_is_ours is not separate
    assert same(results(settings), expected)
    with transaction(ours) as session:
        assert shown(driver(session)) == RELIED_ON
    with snapshot(ours) as session:
        assert shown(driver(session)) == RELIED_ON | {"transaction_isolation": "repeatable read"}
    with reading.connect(database_url) as crm:
        assert shown(crm) == RELIED_ON


def process_ids(url: str, readers: int) -> list[int]:
    """Of the sessions in which readers, one after another, read the orders."""
    found = []
    for _ in range(readers):
        with reading.connect(url, isolation="REPEATABLE READ") as crm:
            assert shown(crm) == RELIED_ON | {"transaction_isolation": "repeatable read"}
            use_time_zone(crm, {"timezone": "Asia/Kathmandu"})
            found.append(int(scalar(crm, "SELECT pg_backend_pid()")))
    return found


def test_a_step_reads_the_orders_over_one_connection_unless_a_statement_has_failed(database_url: str) -> None:
    with reading.kept():
        first = process_ids(database_url, 3)
        with reading.connect(database_url) as crm, reading.connect(database_url) as another:
            assert crm is not another
        with suppress(psycopg.Error), reading.connect(database_url) as crm:
            crm.execute("SELECT 1 / 0")
        second = process_ids(database_url, 2)
    assert crm.closed and another.closed
    assert len(set(first)) == len(set(second)) == 1 and first[0] != second[0]
    assert len(set(process_ids(database_url, 2))) == 2


@pytest.mark.parametrize(("encoding", "which"), [("LATIN1", "both"), ("SQL_ASCII", "results"), ("LATIN1", "source")])
def test_databases_of_other_encodings_hold_results_and_orders_alike(
    servers: dict[str, str],
    other_database_url: str,
    expected: list[pd.DataFrame],
    tmp_path: Path,
    encoding: str,
    which: str,
) -> None:
    name = f"encoded_{encoding}_{which}".lower()
    with psycopg.connect(servers["DATABASE_URL"], autocommit=True) as admin:
        admin.execute(
            sql.SQL(
                "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
            ).format(sql.Identifier(name), sql.Literal(encoding))
        )
        encoded = servers["DATABASE_URL"].replace("/postgres?", f"/{name}?")
        try:
            ours = other_database_url if which == "source" else encoded
            orders_in = other_database_url if which == "results" else encoded
            migrate(ours)
            fill(orders_in, plain_orders(40), amount="float8")
            found = results(make_settings(ours, tmp_path, SOURCE_DATABASE_URL=orders_in))
            assert same(found, expected)
        finally:
            engine(ours).dispose()
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_behind_a_pooler_runs_end_right_and_leave_nothing_in_its_sessions(
    database_url: str, other_database_url: str, expected: list[pd.DataFrame], redis_url: str, tmp_path: Path
) -> None:
    made_hostile(database_url)
    fill(database_url, plain_orders(40), amount="float8")
    with pgbouncer(database_url, other_database_url, folder=tmp_path / "pgbouncer") as (crm, ours):
        with psycopg.connect(ours, autocommit=True) as other:
            before = shown(other)
        migrate(ours)
        settings = make_settings(ours, tmp_path, redis_url, SOURCE_DATABASE_URL=crm)
        for _ in range(3):
            run_inline(settings, "rfm"), run_inline(settings, "menu")  # what would be prepared is by now
        assert same(results(settings), expected)
        for each in (ours, crm):
            with psycopg.connect(each, autocommit=True, prepare_threshold=None) as other:
                for _ in range(20):
                    assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
        with psycopg.connect(ours, autocommit=True, prepare_threshold=None) as other:
            assert shown(other) == before
        engine(ours).dispose()
        # And real workers, in one database, over the pooler.
        migrate(crm)
        with Workers(crm, redis_url, tmp_path) as workers:
            workers.start(processes=2, beat=True)
            for _ in range(2):
                ended = workers.finished(workers.request("rfm", "menu"))
                assert [each.run.error for each in ended] == [None, None]
