"""Readers see one consistent state at every instant of a publish, in any isolation level."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import IsolationLevel

from kinds import upkeep
from settings import Settings
from tests.builders import plain_orders
from tests.system import fill, make_settings, read, run_inline, wait_for

STATE = """
SELECT (SELECT array_agg(DISTINCT run_id) FROM rfm_segments), (SELECT count(*) FROM rfm_segments),
       (SELECT array_agg(DISTINCT run_id) FROM menu_recommendation), (SELECT sum(orders) FROM menu_recommendation)
"""
GENERATIONS = "SELECT relname FROM pg_class WHERE relname ~ '^rfm_results_g[0-9]+$' ORDER BY 1"


@pytest.fixture
def settings(migrated_url: str, tmp_path: Path) -> Settings:
    fill(migrated_url, plain_orders(40))
    found = make_settings(migrated_url, tmp_path, RFM_SHARDS="3")
    run_inline(found, "rfm")
    run_inline(found, "menu")
    return found


class Reader(threading.Thread):
    """Polls both results, twice per transaction, so that REPEATABLE READ is tested."""

    def __init__(self, url: str, level: IsolationLevel) -> None:
        super().__init__()
        self.connection = psycopg.connect(url)
        self.connection.isolation_level = level
        self.seen: list[tuple[object, object]] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            with self.connection.transaction():
                self.seen.append((self.connection.execute(STATE).fetchone(), self.connection.execute(STATE).fetchone()))
        self.connection.close()


@pytest.fixture
def readers(settings: Settings) -> Iterator[list[Reader]]:
    started = [
        Reader(settings.database_url, level)
        for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ)
    ]
    for reader in started:
        reader.start()
    yield started
    for reader in started:
        reader.stopping.set()
        reader.join()


def test_a_polling_reader_sees_only_whole_states_through_publishes(settings: Settings, readers: list[Reader]) -> None:
    for count in (41, 43):
        before = [len(reader.seen) for reader in readers]
        fill(settings.database_url, plain_orders(count))
        assert run_inline(settings, "rfm").run.status == "succeeded"
        assert run_inline(settings, "menu").run.status == "succeeded"
        for reader, already in zip(readers, before, strict=True):
            while len(reader.seen) < already + 2 and reader.is_alive():
                reader.join(0.01)
    for reader in readers:
        reader.stopping.set()
        reader.join()
        sizes = set()
        for first, second in reader.seen:
            for found in (first, second):
                rfm_runs, customers, menu_runs, counted = found  # type: ignore[misc]
                assert len(rfm_runs) == 1 and len(menu_runs) == 1
                assert customers in (40, 41, 43) and counted in (40, 41, 43)
                sizes.add(customers)
            if reader.connection.isolation_level == IsolationLevel.REPEATABLE_READ:
                assert first == second
        assert {40, 43} <= sizes


def test_an_old_snapshot_keeps_its_generation_until_it_ends(settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as old:
        old.isolation_level = IsolationLevel.REPEATABLE_READ
        before = old.execute(STATE).fetchone()
        publish_twice(settings)
        assert old.execute(STATE).fetchone() == before
        assert len(read(settings.database_url, GENERATIONS)) == 3
    upkeep.clear(settings.database_url)
    assert len(read(settings.database_url, GENERATIONS)) == 1
    assert read(settings.database_url, "SELECT count(DISTINCT generation) AS n FROM menu_results").n[0] == 1


def test_readers_indexes_are_added_to_what_is_published_and_survive_refreshes(settings: Settings) -> None:
    url = settings.database_url
    indexed = "SELECT count(*) AS n FROM pg_indexes WHERE indexname ~ '^rfm_results_g[0-9]+_s[0-9]_grouped_by_'"
    assert read(url, indexed).n[0] == 0
    with psycopg.connect(url) as writer:  # as a refresh
        writer.execute("UPDATE rfm_results SET cents = cents WHERE shard = 1")
        upkeep.index(url)
        assert read(url, indexed).n[0] == 2 * 3  # the third waits for the writer
    for mode in ("incremental", "full"):
        upkeep.index(url)
        assert read(url, indexed).n[0] == 3 * 3
        assert run_inline(settings, "rfm", mode=mode).run.status == "succeeded"
    assert read(url, indexed).n[0] == 0


def test_two_sweeps_may_add_the_same_index_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "LOCK_WAIT", "30s")
    newest = "SELECT max(relname) AS n FROM pg_class WHERE relname ~ '^rfm_results_g[0-9]+_s1$'"
    piece = read(settings.database_url, newest).n[0]
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE INDEX%'"
    with psycopg.connect(settings.database_url) as other:
        other.execute(f"CREATE INDEX {piece}_grouped_by_cents ON {piece} (cents)")
        with ThreadPoolExecutor() as pool:
            sweep = pool.submit(upkeep.index, settings.database_url)
            wait_for(lambda: len(read(settings.database_url, waiting)) or sweep.done())
            other.commit()
            sweep.result()


def test_a_snapshot_that_has_not_read_yet_still_finds_its_generation(settings: Settings) -> None:
    before = read(settings.database_url, STATE)
    with psycopg.connect(settings.database_url) as old:
        old.isolation_level = IsolationLevel.REPEATABLE_READ
        old.execute("SELECT")  # takes the snapshot, without a lock on any result
        publish_twice(settings)
        assert old.execute(STATE).fetchone() == tuple(before.iloc[0])


def publish_twice(settings: Settings) -> None:
    """Two publishes of both kinds, each with the removal of old tables."""
    for _ in range(2):
        run_inline(settings, "rfm")
        run_inline(settings, "menu")


def test_grants_dependent_views_and_prepared_statements_live_through_publishes(settings: Settings) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("CREATE VIEW champions AS SELECT * FROM rfm_segments WHERE segment = 'Champions'")
        connection.execute("DROP ROLE IF EXISTS bi_reader")
        connection.execute("CREATE ROLE bi_reader")
        connection.execute("GRANT SELECT ON rfm_segments, menu_recommendation TO bi_reader")
        query = "SELECT count(*) FROM rfm_segments WHERE mobile_id >= %s"
        assert connection.execute(query, ["c"], prepare=True).fetchone() == (40,)
        fill(settings.database_url, plain_orders(50))
        run_inline(settings, "rfm")
        run_inline(settings, "menu")
        assert connection.execute(query, ["c"], prepare=True).fetchone() == (50,)
        connection.execute("SELECT count(*) FROM champions")
        connection.execute("SET ROLE bi_reader")
        assert connection.execute("SELECT count(*) FROM rfm_segments").fetchone() == (50,)
        assert connection.execute("SELECT sum(orders) FROM menu_recommendation").fetchone() == (50,)
        connection.execute("RESET ROLE")
        connection.execute("DROP OWNED BY bi_reader")
        connection.execute("DROP ROLE bi_reader")


def test_published_rows_are_logged_and_so_survive_a_crash(settings: Settings) -> None:
    unlogged = read(
        settings.database_url,
        "SELECT relname FROM pg_partition_tree('rfm_results') JOIN pg_class ON oid = relid WHERE relpersistence <> 'p'",
    )
    pieces = read(settings.database_url, "SELECT relid FROM pg_partition_tree('rfm_results') WHERE isleaf")
    assert unlogged.empty and len(pieces) == 3


def test_other_generations_are_never_executed(settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as old:
        old.isolation_level = IsolationLevel.REPEATABLE_READ
        old.execute(STATE)
        run_inline(settings, "rfm")
        query = "EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM rfm_segments WHERE mobile_id = 'c7'"
        plan = list(read(settings.database_url, query).iloc[:, 0])
    scans = [line for line in plan if " on rfm_results_g" in line]
    assert len(scans) == 6 and sum("never executed" in line for line in scans) == 3
