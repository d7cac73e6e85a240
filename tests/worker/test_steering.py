"""Runs: requests that coalesce, parts that fail, and the published results meanwhile; long, since every step of a run
has its case.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

import kinds
from errors import BusyError, RequestError
from settings import Settings
from store import inbox, runs
from store.database import transaction
from store.parts import claim
from tests.builders import plain_orders
from tests.system import (
    do_part,
    fill,
    finish_inline,
    make_settings,
    menu_recommendation,
    read,
    rfm_segments,
    run_inline,
    state,
)
from worker import steering

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def settings(migrated_url: str, tmp_path: Path) -> Settings:
    fill(migrated_url, plain_orders())
    return make_settings(migrated_url, tmp_path, RFM_SHARDS="3")


def request(settings: Settings, kind: str, **options: object) -> UUID:
    with transaction(settings.database_url) as session:
        return inbox.request(session, [kind], **options)[0].run_id  # type: ignore[arg-type]


def test_requests_that_come_while_a_run_works_share_one_following_run(settings: Settings) -> None:
    first = request(settings, "rfm")
    parts = steering.advance(settings, first)
    following = {request(settings, "rfm") for _ in range(5)}
    assert len(following) == 1 and first not in following
    (second,) = following
    assert steering.advance(settings, second) == []
    while parts:
        for stage, number in parts:
            do_part(settings, first, stage, number)
        parts = steering.advance(settings, first)
    assert state(settings, first).run.status == "succeeded"
    assert steering.following(settings, first) == [second]
    assert steering.advance(settings, second)


def test_a_hundred_concurrent_deliveries_make_one_waiting_run_of_each_kind(settings: Settings) -> None:
    named: list[list[UUID]] = []

    def deliver(number: int) -> None:
        requested = inbox.deliver(
            settings.database_url, "webhook", f"msg_{number % 50}", {}, ["rfm", "menu"], "incremental"
        )
        named.append([run.run_id for run in requested])

    threads = [threading.Thread(target=deliver, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(named) == 100 and len({tuple(run_ids) for run_ids in named}) == 1
    counted = read(settings.database_url, "SELECT kind, count(*) AS n FROM analytics_runs GROUP BY kind ORDER BY kind")
    assert counted.values.tolist() == [["menu", 1], ["rfm", 1]]


def test_the_same_delivery_names_the_same_runs_after_they_have_ended(settings: Settings) -> None:
    first = [run.run_id for run in inbox.deliver(settings.database_url, "webhook", "msg_1", {}, ["menu"], "full")]
    while parts := steering.advance(settings, first[0]):
        for stage, number in parts:
            do_part(settings, first[0], stage, number)
    again = inbox.deliver(settings.database_url, "webhook", "msg_1", {}, ["menu"], "full")
    assert [run.run_id for run in again] == first and again[0].status == "succeeded"


def test_the_present_goes_before_waiting_runs_of_the_past(settings: Settings) -> None:
    fill(settings.database_url, plain_orders())
    working, *past = (request(settings, "menu", as_of=NOON - timedelta(days=day)) for day in range(3))
    parts = steering.advance(settings, working)
    assert state(settings, working).run.status == "running"
    present = request(settings, "menu")
    order = []
    for run_id in (*past, present):  # as the sweep calls them, in the order of asking
        steering.advance(settings, run_id)
        assert state(settings, run_id).run.status == "pending"
    for stage, part in parts:
        do_part(settings, working, stage, part)
    following: UUID | None = working
    while following is not None:
        for other in {*past, present} - {following, *order}:
            steering.advance(settings, other)
            assert state(settings, other).run.status == ("running" if other == following else "pending")
        assert finish_inline(settings, following).run.status == "succeeded"
        order.append(following)
        following = next(iter(steering.following(settings, following)), None)
    assert order == [working, present, *past]
    assert read(settings.database_url, "SELECT run_id FROM analytics_published").run_id.tolist() == [past[-1]]


def test_only_so_many_runs_of_the_past_may_wait(settings: Settings) -> None:
    waiting = [request(settings, "menu", as_of=NOON) for _ in range(inbox.AS_OF_WAITING)]
    with pytest.raises(BusyError, match="8 menu runs with an as_of wait already"):
        request(settings, "menu", as_of=NOON)
    assert request(settings, "menu") and request(settings, "rfm", as_of=NOON)
    with transaction(settings.database_url) as session:
        runs.cancel(session, waiting[0])
    assert request(settings, "menu", as_of=NOON)


def test_a_run_with_an_as_of_never_joins_another(settings: Settings) -> None:
    waiting = request(settings, "rfm")
    assert request(settings, "rfm", as_of=NOON) != waiting
    assert request(settings, "rfm", as_of=NOON) != request(settings, "rfm", as_of=NOON)


def test_a_part_done_twice_changes_nothing(settings: Settings) -> None:
    run_id = request(settings, "rfm")
    parts = steering.advance(settings, run_id)
    for stage, number in parts * 2:
        do_part(settings, run_id, stage, number)
    while parts := steering.advance(settings, run_id):
        for stage, number in parts * 2:
            do_part(settings, run_id, stage, number)
    assert len(rfm_segments(settings.database_url)) == 6
    assert steering.advance(settings, run_id) == []


def test_a_part_that_is_being_worked_on_is_not_done_a_second_time(settings: Settings) -> None:
    run_id = request(settings, "rfm")
    stage, number = steering.advance(settings, run_id)[0]
    with claim(settings.database_url, run_id, stage, number) as ours:
        assert ours is not None
        with claim(settings.database_url, run_id, stage, number) as theirs:
            assert theirs is None


def test_progress_grows_with_the_parts_and_is_whole_only_at_the_end(settings: Settings) -> None:
    run_id = request(settings, "menu")
    seen = [state(settings, run_id).progress]
    while parts := steering.advance(settings, run_id):
        for stage, number in parts:
            do_part(settings, run_id, stage, number)
            seen.append(state(settings, run_id).progress)
    seen.append(state(settings, run_id).progress)
    assert seen[0] == 0 and seen == sorted(seen) and max(seen[:-1]) < 1 == seen[-1]


@pytest.mark.parametrize(
    ("break_it", "kind", "code", "named"),
    [
        ("DROP TABLE fact_transactions", "rfm", "source_table_missing", "fact_transactions"),
        ("DROP TABLE dim_menu_items", "menu", "source_table_missing", "dim_menu_items"),
        ("ALTER TABLE fact_transactions DROP total_amount", "rfm", "source_column_missing", "total_amount"),
        ("ALTER TABLE fact_transaction_items DROP price", "menu", "source_column_missing", "price"),
        ("ALTER TABLE fact_transactions ALTER created_at TYPE timestamp", "rfm", "source_column_type", "created_at"),
        ("ALTER TABLE fact_transactions ALTER total_amount TYPE text", "rfm", "source_column_type", "total_amount"),
        (
            "INSERT INTO dim_menu_daytimes VALUES (1, 'Day', '06:00', '18:00'), (2, 'Noon', '11:00', '13:00')",
            "menu",
            "invalid_dayparts",
            "'Noon'",
        ),
        ("INSERT INTO dim_menu_daytimes VALUES (1, 'Day', NULL, '18:00')", "menu", "source_unreadable", "'Day'"),
    ],
)
def test_a_source_that_can_not_serve_fails_the_run_and_the_last_results_stay(
    settings: Settings, break_it: str, kind: str, code: str, named: str
) -> None:
    assert run_inline(settings, kind).run.status == "succeeded"
    before = rfm_segments(settings.database_url), menu_recommendation(settings.database_url)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(break_it)  # type: ignore[arg-type]
    failed = run_inline(settings, kind).run
    assert (failed.status, failed.error_code) == ("failed", code)
    assert named in (failed.error or "") and "\n" not in (failed.error or "")
    after = rfm_segments(settings.database_url), menu_recommendation(settings.database_url)
    assert before[0].equals(after[0]) and before[1].equals(after[1])


def test_staging_that_a_crash_emptied_is_read_again(settings: Settings) -> None:
    run_id = request(settings, "rfm")
    for stage, number in steering.advance(settings, run_id):
        do_part(settings, run_id, stage, number)
    parts = steering.advance(settings, run_id)
    do_part(settings, run_id, *parts[0])
    generation = state(settings, run_id).run.generation
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(f"TRUNCATE rfm_staging_g{generation}_s1")  # type: ignore[arg-type]
    again = steering.advance(settings, run_id)
    assert again == [("aggregate", 1)]
    while again:
        for stage, number in again:
            do_part(settings, run_id, stage, number)
        again = steering.advance(settings, run_id)
    assert state(settings, run_id).run.status == "succeeded"
    assert len(rfm_segments(settings.database_url)) == 6


def test_a_cancelled_run_ends_there_and_leaves_no_table_behind(settings: Settings) -> None:
    run_id = request(settings, "rfm")
    parts = steering.advance(settings, run_id)
    do_part(settings, run_id, *parts[0])
    with transaction(settings.database_url) as session:
        runs.cancel(session, run_id)
    do_part(settings, run_id, *parts[1])
    assert steering.advance(settings, run_id) == []
    assert run_inline(settings, "rfm").run.status == "succeeded"
    left = read(
        settings.database_url,
        "SELECT relname FROM pg_class WHERE relname ~ '^rfm_(staging_g|results_g[0-9]+$)'",
    )
    assert len(left) == 1 and state(settings, run_id).run.status == "cancelled"
    with pytest.raises(RequestError, match="cancelled already"), transaction(settings.database_url) as session:
        runs.cancel(session, run_id)


def test_a_run_that_is_cancelled_while_a_part_works_takes_the_part_back(settings: Settings) -> None:
    run_id = request(settings, "rfm")
    stage, number = steering.advance(settings, run_id)[0]
    with claim(settings.database_url, run_id, stage, number) as claimed:
        assert claimed is not None
        with transaction(settings.database_url) as session:
            runs.cancel(session, run_id)
    with transaction(settings.database_url) as session:
        found = runs.get(session, run_id)
        assert found is not None and not any(stage.done for stage in found.stages)


def sql(settings: Settings, statement: str, *values: object) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(statement, values)  # type: ignore[arg-type]


def later(settings: Settings, seconds: int) -> None:
    """Let time pass: all stored times move into the past."""
    past = f"interval '{seconds} s'"
    sql(settings, f"UPDATE analytics_parts SET sent_at = sent_at - {past}, done_at = done_at - {past}")
    sql(settings, f"UPDATE analytics_runs SET tried_at = tried_at - {past}, started_at = started_at - {past}")


def test_a_part_that_nobody_finishes_is_sent_again_with_growing_waits_and_then_fails_the_run(
    settings: Settings,
) -> None:
    run_inline(settings, "rfm")
    before = rfm_segments(settings.database_url)
    run_id = request(settings, "rfm")
    parts = [("aggregate", number) for number in range(3)]
    assert steering.advance(settings, run_id) == parts
    waits = [10, 20, 40, 80, 160, 320, 640, 640, 640, 640]  # seconds after each send
    assert len(waits) == steering.SENDS
    for place, wait in enumerate(waits, 1):
        began = time.monotonic()
        later(settings, wait - 5)
        early = steering.advance(settings, run_id)
        assert early == [] or time.monotonic() - began > 5  # real time passes, too
        assert state(settings, run_id).run.status == "running"
        later(settings, 5)
        due = early or steering.advance(settings, run_id)
        assert due == (parts if place < steering.SENDS else [])
    failed = state(settings, run_id).run
    assert (failed.status, failed.error_code) == ("failed", "part_lost")
    assert "aggregate" in (failed.error or "") and "\n" not in (failed.error or "\n")
    assert rfm_segments(settings.database_url).equals(before)


def test_parts_are_not_sent_again_while_others_are_being_done_or_they_are_worked_on(settings: Settings) -> None:
    run_id = request(settings, "rfm")
    assert len(steering.advance(settings, run_id)) == 3
    later(settings, 60)
    do_part(settings, run_id, "aggregate", 1)
    assert steering.advance(settings, run_id) == []
    later(settings, 60)
    with claim(settings.database_url, run_id, "aggregate", 0):
        assert steering.advance(settings, run_id) == []
    later(settings, 60)
    assert steering.advance(settings, run_id) == [("aggregate", 2)]


def test_the_last_part_is_left_to_the_worker_that_has_it(settings: Settings) -> None:
    run_id = request(settings, "rfm")
    for _, part in steering.advance(settings, run_id):
        do_part(settings, run_id, "aggregate", part)
    *others, last = steering.advance(settings, run_id)
    for stage, part in others:
        do_part(settings, run_id, stage, part)
    later(settings, 60)
    with claim(settings.database_url, run_id, *last) as claimed:
        assert claimed is not None
        kinds.get(claimed.run.kind).do(settings, claimed)
        assert steering.advance(settings, run_id, from_sweep=True) == []
    assert steering.advance(settings, run_id) == []
    assert state(settings, run_id).run.status == "succeeded"


def test_a_clock_that_is_set_back_delays_nothing(settings: Settings) -> None:
    run_id = request(settings, "rfm")
    steering.advance(settings, run_id)
    later(settings, -3600)
    assert len(steering.advance(settings, run_id, from_sweep=True)) == 3


def test_a_step_that_kills_its_process_is_tried_with_growing_waits_and_then_fails_the_run(settings: Settings) -> None:
    run_id = request(settings, "rfm")
    steering.advance(settings, run_id)
    for number in range(1, steering.TRIES + 1):
        # What is left of a try whose process was killed in the middle of the step.
        with transaction(settings.database_url) as session:
            taken = runs.take(session, run_id, from_sweep=True)
            assert taken is not None and taken.tries == number
        with transaction(settings.database_url) as session:
            assert runs.take(session, run_id, from_sweep=True) is None
        later(settings, min(2**number, 300))
    assert steering.advance(settings, run_id, from_sweep=True) == []
    failed = state(settings, run_id).run
    assert (failed.status, failed.error_code) == ("failed", "step_lost")


def test_a_whole_step_forgets_the_tries_before_it(settings: Settings) -> None:
    run_id = request(settings, "rfm")
    for _ in range(steering.TRIES - 1):
        with transaction(settings.database_url) as session:
            assert runs.take(session, run_id, from_sweep=False)
    assert len(steering.advance(settings, run_id)) == 3
    assert state(settings, run_id).run.tries == 0


def test_the_sweep_leaves_a_run_alone_that_another_is_moving(settings: Settings) -> None:
    run_id = request(settings, "rfm")
    steering.advance(settings, run_id)
    later(settings, 60)
    with transaction(settings.database_url) as session:
        runs.lock(session, run_id)
        assert steering.advance(settings, run_id, from_sweep=True) == []


def test_a_run_that_is_past_its_deadline_fails_and_the_next_one_starts(settings: Settings) -> None:
    run_id = request(settings, "menu")
    steering.advance(settings, run_id)
    following = request(settings, "menu")
    later(settings, 24 * 3600 + 60)
    assert steering.advance(settings, run_id) == []
    failed = state(settings, run_id).run
    assert (failed.status, failed.error_code) == ("failed", "deadline_passed")
    assert steering.following(settings, run_id) == [following]
    assert finish_inline(settings, following).run.status == "succeeded"
