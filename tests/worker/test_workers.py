"""Runs on real prefork workers, PostgreSQL and Redis, compared with the oracle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import redis

from embedded import restaurant
from source.load import load
from store import inbox, nights
from store.database import transaction
from tests import oracle
from tests.builders import plain_orders
from tests.system import Workers, fill, menu_recommendation, read, rfm_segments, wait_for

AS_OF = {
    "online_retail": datetime(2011, 12, 10, tzinfo=UTC),
    "restaurant": datetime(2023, 4, 1, tzinfo=UTC),
}


def files_in(folder: Path) -> dict[str, Path]:
    """The folder's files by source table."""
    names = {"transactions": "fact_transactions", "items": "fact_transaction_items", "menu": "dim_menu_items"}
    return {names[path.stem]: path for path in folder.iterdir() if path.stem in names}


def frame_of(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    frame = pd.read_csv(path, dtype={"mobile_id": "string"})
    if "created_at" in frame:
        frame["created_at"] = pd.to_datetime(frame["created_at"], format="ISO8601", utc=True)
    return frame


@contextmanager
def task_events(workers: Workers) -> Iterator[list[dict[str, Any]]]:
    """The workers' task events during the block."""
    seen: list[dict[str, Any]] = []
    stopping = threading.Event()
    listening = threading.Event()

    def listen() -> None:
        with workers.celery.connection() as connection:
            receiver = workers.celery.events.Receiver(connection, handlers={"*": seen.append})
            listening.set()
            while not stopping.is_set():
                try:
                    receiver.capture(limit=None, timeout=0.5, wakeup=False)
                except TimeoutError:
                    continue

    thread = threading.Thread(target=listen)
    thread.start()
    listening.wait(10)
    yield seen
    stopping.set()
    thread.join()


def test_both_results_equal_the_oracle_row_for_row(data_folder: Path, workers: Workers) -> None:
    files = files_in(data_folder)
    load(workers.settings.database_url, files, timezone="Europe/London")
    workers.start(processes=2, RFM_SHARDS="5")
    as_of = AS_OF[data_folder.name]
    for state in workers.finished(workers.request("rfm", "menu", as_of=as_of)):
        assert state.run.status == "succeeded", state.run.error
    rules = oracle.Rules(as_of=as_of, timezone="Europe/London")
    transactions, items = frame_of(files["fact_transactions"]), frame_of(files["fact_transaction_items"])
    oracle.compare_rfm(rfm_segments(workers.settings.database_url), oracle.rfm(transactions, rules))
    oracle.compare_menu(menu_recommendation(workers.settings.database_url), oracle.menu(transactions, items, rules))


def test_shards_and_dayparts_are_tasks_of_their_own_on_both_processes(workers: Workers, tmp_path: Path) -> None:
    files = restaurant.write(restaurant.generate(seed=1, until=datetime(2026, 3, 1, tzinfo=UTC)), tmp_path)
    load(workers.settings.database_url, files, timezone="Europe/London")
    workers.start(processes=2, RFM_SHARDS="8")
    with task_events(workers) as events:
        for kind in ("rfm", "menu"):  # one after the other, so that neither keeps a process to itself
            assert workers.finished(workers.request(kind))[0].run.status == "succeeded"
    names = {event["uuid"]: event["name"] for event in events if event["type"] == "task-received"}
    done = [event for event in events if event["type"] == "task-succeeded"]
    counted = pd.Series([names[event["uuid"]] for event in done if event["uuid"] in names]).value_counts()
    assert counted["smartcrm.rfm.aggregate"] == 8 and counted["smartcrm.rfm.score"] == 8
    assert counted["smartcrm.menu.rank"] == 11 and counted["smartcrm.menu.tally"] >= 1
    assert len(workers.processes_that_did("smartcrm.rfm.aggregate")) == 2
    assert len(workers.processes_that_did("smartcrm.menu.rank")) == 2
    customers = set(read(workers.settings.database_url, "SELECT mobile_id FROM rfm_segments").mobile_id)
    reported = str([event for event in events if event["type"] == "task-received"])
    assert not any(customer in reported for customer in customers)


def test_a_part_that_fails_fails_the_run_with_one_sentence_and_the_next_one_goes(workers: Workers) -> None:
    tables = plain_orders()
    url = workers.settings.database_url
    fill(url, tables)
    workers.start()
    assert workers.finished(workers.request("rfm"))[0].run.status == "succeeded"
    before = rfm_segments(url)
    tables["fact_transactions"].loc[0, "total_amount"] = "9999999999999.00"
    fill(url, tables)
    failed = workers.finished(workers.request("rfm"))[0].run
    assert (failed.status, failed.error_code) == ("failed", "data_out_of_range")
    assert "\n" not in (failed.error or "\n") and rfm_segments(url).equals(before)
    fill(url, plain_orders(7))
    assert workers.finished(workers.request("rfm"))[0].run.status == "succeeded"
    assert len(rfm_segments(url)) == 7


def test_a_part_that_takes_too_long_fails_the_run_and_says_so(workers: Workers) -> None:
    fill(workers.settings.database_url, plain_orders())
    workers.start(celery=("task.soft_time_limit=5",))
    with psycopg.connect(workers.settings.database_url) as connection:
        connection.execute("LOCK TABLE fact_transaction_items")  # a tally waits for it, a plan does not
        run = workers.finished(workers.request("menu"))[0].run
    assert (run.status, run.error_code) == ("failed", "part_too_long")
    assert run.error == "It took longer than the time limit for a part of a run."
    assert workers.finished(workers.request("menu"))[0].run.status == "succeeded"


def test_results_do_not_depend_on_the_number_of_workers_or_shards(workers: Workers, tmp_path: Path) -> None:
    made = restaurant.generate(seed=2, until=datetime(2026, 3, 1, tzinfo=UTC))
    newest = made.transactions.tail(10_000)
    lines = made.items[made.items.transaction_id.isin(newest.transaction_id)]
    url = workers.settings.database_url
    load(url, restaurant.write(replace(made, transactions=newest, items=lines), tmp_path), timezone="Europe/London")
    seen = []
    as_of = datetime(2026, 3, 1, tzinfo=UTC)
    for shards in ("1", "7"):
        workers.start(RFM_SHARDS=shards)
        states = workers.finished(workers.request("rfm", "menu", as_of=as_of))
        assert [state.run.status for state in states] == ["succeeded", "succeeded"]
        seen.append((rfm_segments(url), menu_recommendation(url)))
    (segments, ranked), (again, ranked_again) = seen
    assert len(segments) > 1000 and segments.equals(again) and ranked.equals(ranked_again)


def test_an_answer_to_a_health_check_that_was_killed_does_not_stay(workers: Workers) -> None:
    workers.start(beat=True)
    worker = workers.processes[0]
    worker.send_signal(signal.SIGSTOP)
    check = [sys.executable, "-m", "celery", "-A", "worker.app", "inspect", "ping", "--timeout", "60"]
    with redis.Redis.from_url(workers.settings.redis_url) as client, client.pubsub() as heard:
        heard.psubscribe("*.celery.pidbox")
        asking = subprocess.Popen(check, env={**os.environ, **workers.env})
        wait_for(lambda: (heard.get_message(timeout=1) or {}).get("type") == "pmessage")
        asking.kill()
        asking.wait()
        worker.send_signal(signal.SIGCONT)
        answers = wait_for(lambda: list(client.scan_iter("*.reply.celery.pidbox")))
        wait_for(lambda: all(client.ttl(answer) != -1 for answer in answers))


def test_lost_hints_are_made_good_and_the_night_is_requested_once_however_many_beats_there_are(
    workers: Workers,
) -> None:
    url, home = workers.settings.database_url, workers.settings.home
    fill(url, plain_orders())
    with transaction(url) as session:
        requested = [run.run_id for run in inbox.request(session, ["rfm", "menu"])]  # and no message is sent
    (home / "celerybeat-schedule").write_bytes(b"\x80\x04 damaged")  # what a version before this one kept
    workers.start(beat=True)
    workers.start(beat=True)

    def swept() -> int:
        return int(read(url, "SELECT coalesce(sum(value), 0) AS n FROM analytics_totals WHERE name = 'sweeps'").n[0])

    assert [each.run.status for each in workers.finished(requested)] == ["succeeded", "succeeded"]
    wait_for(lambda: swept() >= 2)
    nights = "SELECT delivery_id, asked_for::text FROM analytics_deliveries, analytics_nights WHERE sender = 'nightly'"
    assert len(read(url, nights)) == 0
    with psycopg.connect(url) as connection:  # as if the last three nights had been missed
        connection.execute("UPDATE analytics_nights SET asked_for = asked_for - 3")
    wait_for(lambda: len(read(url, nights)))
    since = swept()
    wait_for(lambda: swept() >= since + 4)
    found = read(url, nights)
    assert len(found) == 1 and found.delivery_id[0] == found.asked_for[0]
    made = "SELECT kind, mode, count(*) FROM analytics_runs GROUP BY 1, 2 ORDER BY 1"
    assert list(read(url, made).itertuples(index=False, name=None)) == [("menu", "full", 2), ("rfm", "full", 2)]
    assert (home / "celerybeat-schedule").read_bytes() == b"\x80\x04 damaged"


def test_a_night_whose_message_is_lost_is_requested_with_the_next_sweep(workers: Workers) -> None:
    url, today = workers.settings.database_url, date(2026, 3, 2)
    with transaction(url) as session:
        assert not nights.due(session, today)  # the first day that this database has seen
    for _ in range(2):
        with transaction(url) as session:
            assert nights.due(session, today + timedelta(days=1))
    with transaction(url) as session:
        nights.mark_requested(session, today + timedelta(days=1))
    with transaction(url) as session:
        assert not nights.due(session, today + timedelta(days=1))
        assert not nights.due(session, today)  # the clock was set back
        nights.mark_requested(session, today)
        assert not nights.due(session, today + timedelta(days=1))
