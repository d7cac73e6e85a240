"""Retention: old rows are deleted, needed ones are kept, and a customer can be erased."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from errors import RequestError
from kinds import upkeep
from settings import Settings
from store import inbox
from store.database import transaction
from tests.builders import plain_orders
from tests.system import fill, make_settings, read, rfm_segments, run_inline
from worker import steering


@pytest.fixture
def settings(migrated_url: str, tmp_path: Path) -> Settings:
    fill(migrated_url, plain_orders())
    return make_settings(migrated_url, tmp_path, EVENT_URLS="http://one.test/a")


def age(url: str, days: int) -> None:
    """Move all timestamps this number of days into the past."""
    with psycopg.connect(url) as connection:
        for table, column in (
            ("analytics_runs", "finished_at"),
            ("analytics_deliveries", "received_at"),
            ("analytics_events", "created_at"),
            ("segment_changes", "changed_at"),
        ):
            connection.execute(f"UPDATE {table} SET {column} = {column} - interval '{days} days'")  # type: ignore[arg-type]


def drop_old(url: str) -> None:
    with transaction(url) as session:
        upkeep.drop_old(session)


def run_ids(url: str) -> set[UUID]:
    return set(read(url, "SELECT run_id FROM analytics_runs").run_id)


def test_old_runs_go_and_those_that_published_rows_name_stay(settings: Settings) -> None:
    url = settings.database_url
    gone = {run_inline(settings, kind).run.run_id for kind in ("rfm", "menu")}
    first = {run_inline(settings, kind).run.run_id for kind in ("rfm", "menu")}
    last = {run_inline(settings, kind, mode="incremental").run.run_id for kind in ("rfm", "menu")}
    age(url, 34)
    drop_old(url)
    assert run_ids(url) == gone | first | last
    age(url, 2)
    drop_old(url)
    assert run_ids(url) == first | last
    before = rfm_segments(url)
    assert run_inline(settings, "rfm", mode="incremental").run.mode in ("incremental", "full")
    assert rfm_segments(url).equals(before)


def test_ids_that_were_named_to_a_failed_run_outlive_it(settings: Settings) -> None:
    url = settings.database_url
    run_inline(settings, "rfm")
    with transaction(url) as session:
        failed = inbox.request(session, ["rfm"], mode="incremental", named_ids=(1, 2))[0].run_id
    steering.fail(settings, failed, "test", "It failed.")
    age(url, 40)
    drop_old(url)
    assert failed in run_ids(url)


def test_deliveries_and_events_are_kept_for_a_month(settings: Settings) -> None:
    url = settings.database_url
    inbox.deliver(url, "webhook", "msg_1", {}, ["rfm"], "full")
    run_inline(settings, "rfm")
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE analytics_events SET state = 'delivered'")
    for days, left in ((31, 1), (5, 0)):
        age(url, days)
        drop_old(url)
        assert len(read(url, "SELECT * FROM analytics_deliveries")) == left
        assert len(read(url, "SELECT * FROM analytics_events")) == left


def test_parts_and_plans_of_finished_runs_go_after_a_day(settings: Settings) -> None:
    url = settings.database_url
    old, last = (run_inline(settings, "rfm").run.run_id for _ in range(2))
    age(url, 2)
    drop_old(url)
    assert read(url, "SELECT * FROM analytics_parts").empty
    assert set(read(url, "SELECT run_id FROM analytics_runs WHERE plan IS NOT NULL").run_id) == {last}
    assert old in run_ids(url)


def test_a_forgotten_customer_is_nowhere_left(settings: Settings) -> None:
    url = settings.database_url
    run_inline(settings, "rfm")
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE fact_transactions SET total_amount = 900 WHERE mobile_id = 'c1'")
    run_inline(settings, "rfm")
    assert not read(url, "SELECT * FROM segment_changes WHERE mobile_id = 'c1'").empty
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM fact_transactions WHERE mobile_id = 'c1'")
    with transaction(url) as session:
        assert upkeep.forget(session, "c1") >= 2
    with psycopg.connect(url) as connection:
        named = connection.execute(
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'mobile_id'"
            " AND table_schema = 'public' AND table_name <> 'fact_transactions'"
        ).fetchall()
        assert len(named) >= 4
        for (table,) in named:
            found = connection.execute(f"SELECT count(*) FROM {table} WHERE mobile_id = 'c1'").fetchone()  # type: ignore[arg-type]
            assert found == (0,), table


def test_nobody_is_forgotten_in_the_middle_of_a_run_and_no_part_keeps_them_as_its_bound(settings: Settings) -> None:
    run_inline(settings, "rfm")
    url = settings.database_url
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE analytics_parts SET lower = 'c1' WHERE part = 0")
        connection.execute("UPDATE analytics_runs SET status = 'running'")
    with pytest.raises(RequestError, match="right now"), transaction(url) as session:
        upkeep.forget(session, "c1")
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE analytics_runs SET status = 'succeeded'")
    with transaction(url) as session:
        upkeep.forget(session, "c1")
    assert read(url, "SELECT * FROM analytics_parts WHERE 'c1' IN (lower, upper)").empty


def test_a_fault_that_is_logged_names_no_customer(settings: Settings) -> None:
    code = (
        "import logs, sys; logs.configure(); import structlog; from sqlalchemy import text;"
        "from store.database import transaction\n"
        "try:\n with transaction(sys.argv[1]) as session:\n"
        "  session.execute(text('CREATE TEMP TABLE t (mobile_id text PRIMARY KEY)'))\n"
        "  for _ in range(2): session.execute(text('INSERT INTO t VALUES (:id)'), {'id': '+447700900123'})\n"
        "except Exception: structlog.get_logger('x').exception('failed')"
    )
    reported = subprocess.run(
        [sys.executable, "-c", code, settings.database_url], capture_output=True, text=True
    ).stderr
    assert "duplicate key" in reported and "7700900123" not in reported
