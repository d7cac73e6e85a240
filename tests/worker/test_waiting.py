"""Runs that have to wait show why, and hold no locks meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from store import inbox, progress, runs
from store.database import TRANSIENT, engine, transaction
from tests.builders import plain_orders
from tests.system import Workers, do_part, fill, finish_inline, make_settings, read, run_inline, state, wait_for
from tests.worker.test_steering import later, request
from webhook.app import create_app
from worker import steering

AWAY = "postgresql://127.0.0.1:1/crm"
REFUSED = "SOURCE_DATABASE_URL: PostgreSQL can't be reached"


def test_a_run_whose_source_is_away_shows_the_reason_and_fails_with_it(
    migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = make_settings(migrated_url, tmp_path, redis_url, SOURCE_DATABASE_URL=AWAY)
    run_id = request(settings, "rfm")
    client = create_app(settings).test_client()
    token = {"Authorization": f"Bearer {settings.api_tokens[0]}"}
    for _ in range(steering.TRIES - 1):
        with pytest.raises(TRANSIENT):
            steering.advance(settings, run_id)
        shown = client.get(f"/runs/{run_id}", headers=token).get_json()
        assert (shown["status"], shown["error_code"]) == ("running", None) and REFUSED in shown["error"]
        assert "failed: Connection refused." in shown["error"] and "Is the server" not in shown["error"]
    assert steering.advance(settings, run_id) == []
    failed = state(settings, run_id).run
    assert (failed.status, failed.error_code) == ("failed", "unavailable")
    assert failed.error is not None and REFUSED in failed.error and str(steering.TRIES) in failed.error


def test_a_reason_is_forgotten_with_the_next_whole_step(migrated_url: str, redis_url: str, tmp_path: Path) -> None:
    fill(migrated_url, plain_orders())
    run_id = request(make_settings(migrated_url, tmp_path, redis_url), "rfm")
    with pytest.raises(TRANSIENT):
        steering.advance(make_settings(migrated_url, tmp_path, redis_url, SOURCE_DATABASE_URL=AWAY), run_id)
    settings = make_settings(migrated_url, tmp_path, redis_url, RFM_SHARDS="3")
    assert state(settings, run_id).error
    assert len(steering.advance(settings, run_id)) == 3
    assert state(settings, run_id).error is None


def test_a_part_that_is_given_up_names_the_reason_that_it_kept_seeing(
    migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    fill(migrated_url, plain_orders())
    settings = make_settings(migrated_url, tmp_path, redis_url, RFM_SHARDS="3")
    run_id = request(settings, "rfm")
    steering.advance(settings, run_id)
    runs.note_reason(migrated_url, run_id, "The disk was full.", part=("aggregate", 1))
    assert state(settings, run_id).error == "The disk was full."
    with transaction(migrated_url) as session:
        for part in progress.missing(session, runs.lock(session, run_id), "aggregate"):  # type: ignore[arg-type]
            part.sends = steering.SENDS if part.part == 1 else 1
    later(settings, 100_000 // 60)
    steering.advance(settings, run_id)
    failed = state(settings, run_id).run
    assert (failed.status, failed.error_code) == ("failed", "part_lost")
    assert failed.error is not None and "The disk was full." in failed.error


def test_workers_go_on_when_the_source_is_back_and_say_meanwhile_what_they_wait_for(
    migrated_url: str, other_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    fill(other_database_url, plain_orders(50))
    with Workers(migrated_url, redis_url, tmp_path) as workers:
        workers.env["SOURCE_DATABASE_URL"] = other_database_url
        workers.start(beat=True)
        _allow(other_database_url, "false")
        requested = workers.request("rfm", "menu")

        def reasons() -> list[str]:
            return [found for run_id in requested if (found := state(workers.settings, run_id).error)]

        wait_for(lambda: len(reasons()) == 2, 60)
        assert all(REFUSED in reason and "not currently accepting connections" in reason for reason in reasons())
        _allow(other_database_url, "true")
        ended = workers.finished(requested)
        assert [(each.run.status, each.error) for each in ended] == [("succeeded", None)] * 2


def _allow(url: str, connections: str) -> None:
    name = str(conninfo_to_dict(url)["dbname"])
    with psycopg.connect(url.replace(f"/{name}?", "/postgres?"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(name), sql.SQL(connections))  # type: ignore[arg-type]
        )
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


@pytest.mark.parametrize("kind", ["rfm", "menu"])
def test_planning_reads_the_source_while_no_transaction_of_ours_is_open(
    migrated_url: str, other_database_url: str, redis_url: str, tmp_path: Path, kind: str
) -> None:
    fill(other_database_url, plain_orders(30))
    settings = make_settings(migrated_url, tmp_path, redis_url, SOURCE_DATABASE_URL=other_database_url, RFM_SHARDS="3")
    run_inline(settings, kind)
    for mode in ("incremental", "full"):
        with transaction(migrated_url) as session:
            run_id = inbox.request(session, [kind], mode=mode)[0].run_id
        with psycopg.connect(other_database_url) as crm:
            crm.execute("LOCK TABLE fact_transactions IN ACCESS EXCLUSIVE MODE")
            sent: list[tuple[str, int]] = []
            planning = threading.Thread(target=lambda to=sent, id=run_id: to.extend(steering.advance(settings, id)))
            planning.start()
            wait_for(lambda: len(read(migrated_url, _WAITING)))
            with psycopg.connect(migrated_url) as ours:
                ours.execute("SELECT FROM analytics_runs WHERE run_id = %s FOR UPDATE NOWAIT", [run_id])
                open_ones = ours.execute(_OPEN).fetchall()
            assert open_ones == []
        planning.join()
        assert state(settings, run_id).run.plan is not None
        for part in sent:
            do_part(settings, run_id, *part)
        assert finish_inline(settings, run_id).run.status == "succeeded"


_WAITING = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
_OPEN = """
SELECT state, query FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'
"""


def test_a_view_that_a_migration_changed_is_read_on_a_fresh_plan(
    migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    fill(migrated_url, plain_orders())
    settings = make_settings(migrated_url, tmp_path, redis_url)
    run_inline(settings, "rfm")
    client = create_app(settings).test_client()
    token = {"Authorization": f"Bearer {settings.api_tokens[0]}"}
    for _ in range(12):  # so often that it is prepared
        before = client.get("/rfm_segments/c1", headers=token)
    for change in ("ALTER COLUMN last_day TYPE bigint", "ALTER COLUMN last_day TYPE int"):
        with psycopg.connect(migrated_url) as connection:
            found = connection.execute("SELECT pg_get_viewdef('rfm_segments'::regclass)").fetchone()
            assert found is not None
            connection.execute("DROP VIEW rfm_segments")
            connection.execute(f"ALTER TABLE rfm_results {change}".encode())
            connection.execute(f"CREATE VIEW rfm_segments AS {found[0]}".encode())
        for _ in range(12):
            assert client.get("/rfm_segments/c1", headers=token).get_json() == before.get_json()
    engine(migrated_url).dispose()
