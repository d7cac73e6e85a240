"""Values that are too large: reported with column, limit and transaction; doctor finds them beforehand; long, since the
limits are one table.
"""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.doctor import examine
from errors import SourceError
from settings import Settings
from source import reading
from source.values import values
from store import inbox
from store.database import transaction
from store.models import Run
from tests.builders import items, transactions
from tests.system import Workers, do_part, fill, make_settings, read, run_inline, state
from webhook.app import create_app
from worker import steering
from worker.errors import describe

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SOLD = [(1, "walk-in", "10", NOON), (2, "walk-in", "20", NOON), (3, "b", "50000", NOON)]
LINES = [(1, 1, 1, "10"), (2, 1, 1, "20"), (3, 2, 1, "50000")]


def orders(sold: list[Any] = SOLD, lines: list[Any] = LINES) -> dict[str, Any]:
    return {"fact_transactions": transactions(sold), "fact_transaction_items": items(lines)}


def attempt(settings: Settings, kind: str, mode: str = "full") -> Run:
    """A run to its end; a part's error fails it, as its task would have it."""
    with transaction(settings.database_url) as session:
        run_id = inbox.request(session, [kind], mode=mode)[0].run_id
    while parts := steering.advance(settings, run_id):
        for part in parts:
            try:
                do_part(settings, run_id, *part)
            except Exception as error:
                steering.fail(settings, run_id, *describe(error))
    return state(settings, run_id).run


def found(url: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.found) for finding in values(url)]


@pytest.mark.parametrize(
    ("amount", "sold", "largest"),
    [
        ("double precision", [(1, "walk-in", "6e11", NOON), (2, "walk-in", "7e11", NOON)], 2),
        ("numeric", [(1, "walk-in", "6e11", NOON), (2, "walk-in", "-7e12", NOON)], 2),
        ("numeric", [(1, "walk-in", "999999999999.995", NOON)], 1),
        ("double precision", [(1, "walk-in", "1e30", NOON), (2, "walk-in", "-1e30", NOON)], 1),
    ],
)
def test_a_customers_sum_beyond_the_limit_is_reported_by_column_and_transaction(
    migrated_url: str, tmp_path: Path, amount: str, sold: list[Any], largest: int
) -> None:
    fill(migrated_url, orders([*sold, (9, "b", "50000", NOON)], []), amount=amount)
    run = attempt(make_settings(migrated_url, tmp_path), "rfm")
    assert run.status == "failed" and run.error_code == "data_out_of_range" and run.error is not None
    for text in (run.error, *(found_text for level, found_text in found(migrated_url) if level == "fault")):
        assert "fact_transactions.total_amount" in text and "1,000,000,000,000.00, the limit of numeric(14,2)" in text
        assert f"Transaction {largest} " in text and "walk-in" not in text
    assert [level for level, _ in found(migrated_url)] == ["fault"]


def test_a_workers_part_reports_it_too(workers: Workers) -> None:
    fill(workers.settings.database_url, orders([(1, "walk-in", "6e11", NOON), (2, "walk-in", "6e11", NOON)], LINES[:1]))
    workers.start()
    (failed,) = workers.finished(workers.request("rfm"))
    assert failed.run.status == "failed" and "Transaction 1 is the largest" in (failed.run.error or "")
    logs = "".join(path.read_text() for path in workers.folder.glob("*.log"))
    assert "data_out_of_range" in logs and "walk-in" not in logs


def test_the_largest_sum_there_is_and_amounts_out_of_the_window_are_no_fault(migrated_url: str, tmp_path: Path) -> None:
    old = NOON - timedelta(days=900)
    fill(migrated_url, orders([(1, "a", "999999999999.99", NOON), (2, "b", "1e15", old), (3, None, "1e15", NOON)]))
    settings = make_settings(migrated_url, tmp_path, RFM_LOOKBACK_DAYS="30")
    run = run_inline(settings, "rfm", as_of=NOON).run
    assert run.status == "succeeded", run.error
    assert read(migrated_url, "SELECT monetary FROM rfm_segments").monetary.tolist() == [Decimal("999999999999.99")]
    reported = run_inline(settings, "rfm").run
    assert reported.status == "succeeded", reported.error
    failed = attempt(make_settings(migrated_url, tmp_path), "rfm")
    assert failed.status == "failed" and "Transaction 2 " in (failed.error or "")


BEYOND: list[tuple[str, tuple[Any, ...], str, str]] = [
    ("int", (2, 7, 3, "1e17"), "quantity × price", "92,233,720,368,547,758.08"),
    ("numeric", (2, 7, "0.5", "1e18"), "quantity × price", "92,233,720,368,547,758.08"),
    ("numeric", (2, 7, "1e15", "0"), "quantity", "1,000,000,000,000,000"),
    ("double precision", (2, 7, 1e300, "1"), "quantity", "1,000,000,000,000,000"),
    ("bigint", (2, 7, 2**62, "0"), "quantity", "1,000,000,000,000,000"),
]


# Incremental runs report by the same code: one case per column.
@pytest.mark.parametrize(
    ("quantity", "line", "column", "limit", "mode"),
    [*((*case, "full") for case in BEYOND), *((*case, "incremental") for case in (BEYOND[0], BEYOND[2]))],
)
def test_a_line_beyond_the_limit_is_reported_by_column_and_transaction(
    migrated_url: str, tmp_path: Path, quantity: str, line: tuple[Any, ...], column: str, limit: str, mode: str
) -> None:
    settings = make_settings(migrated_url, tmp_path)
    fill(migrated_url, orders(), quantity=quantity)
    assert run_inline(settings, "menu").run.status == "succeeded" and found(migrated_url) == []
    before = read(migrated_url, "SELECT * FROM menu_recommendation ORDER BY daytime_id, rank")
    with psycopg.connect(migrated_url) as connection:
        connection.execute("INSERT INTO fact_transaction_items VALUES (99, %s, %s, %s, %s)", line)
    run = attempt(settings, "menu", mode)
    assert (run.status, run.mode, run.error_code) == ("failed", mode, "data_out_of_range") and run.error is not None
    assert f"fact_transaction_items.{column} has" in run.error and limit in run.error
    assert "Transaction 2 " in run.error and ("fault", run.error) in found(migrated_url)
    assert read(migrated_url, "SELECT * FROM menu_recommendation ORDER BY daytime_id, rank").equals(before)


@pytest.mark.parametrize(
    ("lines", "column", "mode"),
    [
        ([(1, 1, 1, "4e16"), (2, 1, 1, "5e16")], "quantity × price", "full"),
        ([(1, 1, 6 * 10**14, "0"), (2, 1, 7 * 10**14, "0")], "quantity", "incremental"),
    ],
)
def test_lines_that_add_up_to_too_much_are_reported_with_the_largest(
    migrated_url: str, tmp_path: Path, lines: list[Any], column: str, mode: str
) -> None:
    settings = make_settings(migrated_url, tmp_path)
    fill(migrated_url, orders(), quantity="bigint")
    assert run_inline(settings, "menu").run.status == "succeeded"
    fill(migrated_url, orders(lines=lines), quantity="bigint")
    run = attempt(settings, "menu", mode)
    assert run.status == "failed" and run.error is not None
    assert f"fact_transaction_items.{column} has a sum that is too large" in run.error and "Transaction 2 " in run.error
    assert ("fault", run.error) in found(migrated_url)


def test_orders_dated_ahead_are_counted_by_both_kinds_in_every_mode_and_told(
    migrated_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    ahead = [(n, who, "4.20", now + timedelta(days=400)) for n, who in ((7, "a"), (8, None), (9, ""))]
    sold = [*SOLD, *ahead, (10, "c", "1", "infinity"), (11, "c", "1", None)]
    fill(migrated_url, orders(sold))
    settings = make_settings(migrated_url, tmp_path, redis_url, API_TOKENS="first-token")
    for name, value in (("DATABASE_URL", settings.database_url), ("REDIS_URL", settings.redis_url)):
        monkeypatch.setenv(name, value)
    client, token = create_app(settings).test_client(), {"Authorization": "Bearer first-token"}
    for mode, number, in_all in (("full", 3, 3), ("incremental", 4, 7)):
        with psycopg.connect(migrated_url) as connection:
            query = "INSERT INTO fact_transactions SELECT 20, 'a', 1, %s WHERE %s > 3"
            connection.execute(query, (now + timedelta(days=1), number))
        for kind in ("rfm", "menu"):
            run = run_inline(settings, kind, mode=mode).run
            assert run.mode == mode and run.counts is not None and run.counts["future_transactions"] == number
            shown = client.get(f"/runs/{run.run_id}", headers=token).get_json()
            assert shown["counts"]["future_transactions"] == number
        metrics = client.get("/metrics", headers=token).get_data(as_text=True)
        rows = [
            (sample.labels["kind"], sample.value)
            for family in text_string_to_metric_families(metrics)
            for sample in family.samples
            if family.name == "smartcrm_skipped_rows" and sample.labels["rows"] == "future_transactions"
        ]
        assert sorted(rows) == [("menu", in_all), ("rfm", in_all)]
    assert run_inline(settings, "rfm", as_of=now + timedelta(days=401)).run.counts["future_transactions"] == 0  # type: ignore[index]
    ((level, text),) = found(migrated_url)
    assert level == "warning" and "4 transactions are dated in the future, such as 7" in text


def test_repeated_transaction_ids_are_warned_of_where_no_index_forbids_them(migrated_url: str) -> None:
    fill(migrated_url, orders())
    with psycopg.connect(migrated_url) as connection:
        connection.execute(
            "CREATE TABLE pay AS SELECT * FROM (VALUES (1, 4), (1, 6), (2, 20), (3, 50000)) AS p (o, paid)"
        )
        connection.execute("ALTER TABLE fact_transactions RENAME TO sold")
        connection.execute("CREATE VIEW fact_transactions AS SELECT sold.* FROM sold JOIN pay ON o = transaction_id")
    ((level, text),) = found(migrated_url)
    assert level == "warning" and text.startswith("1 transaction id comes more than once, such as 1")
    with psycopg.connect(migrated_url) as connection:
        connection.execute("DELETE FROM pay WHERE paid = 4")
    assert found(migrated_url) == []


COLUMNS = [
    ("fact_transactions", "transaction_id", "bigint"),
    ("fact_transactions", "mobile_id", "text"),
    ("fact_transactions", "total_amount", "amount"),
    ("fact_transactions", "created_at", "timestamptz"),
    ("fact_transaction_items", "transaction_id", "bigint"),
    ("fact_transaction_items", "item_id", "bigint"),
    ("fact_transaction_items", "quantity", "amount"),
    ("fact_transaction_items", "price", "amount"),
    ("dim_menu_items", "item_id", "bigint"),
    ("dim_menu_items", "menu_item_name", "text"),
    ("dim_menu_items", "category", "text"),
    ("dim_menu_daytimes", "daytime_id", "bigint"),
    ("dim_menu_daytimes", "daytime_label", "text"),
    ("dim_menu_daytimes", "start_time", "time"),
    ("dim_menu_daytimes", "end_time", "time"),
]
GOOD = {
    "bigint": ("smallint", "integer", "bigint"),
    "amount": ("smallint", "integer", "bigint", "numeric", "numeric(10,3)", "real", "double precision"),
    "text": ("text", "character varying", "character varying(30)"),
    "timestamptz": ("timestamp with time zone", "timestamp(3) with time zone"),
    "time": ("time without time zone", "time(0) without time zone"),
}
BAD = (
    *("uuid", "money", "a_domain", "an_enum", "jsonb", "boolean", "bytea", "character(5)", "interval", "xml", "inet"),
    *("date", "timestamp without time zone", "time with time zone", "numeric(10,2)[]", "character varying(9)[]"),
)


def test_types_that_the_contract_does_not_name_are_refused_by_name(migrated_url: str, tmp_path: Path) -> None:
    fill(migrated_url, {})
    with psycopg.connect(migrated_url) as connection:
        connection.execute("CREATE DOMAIN a_domain AS text; CREATE TYPE an_enum AS ENUM ('a')")
    every = {*BAD, *(each for good in GOOD.values() for each in good)}
    with psycopg.connect(migrated_url) as connection:
        for (table, column, usual), type_name in itertools.product(COLUMNS, sorted(every)):
            connection.execute(f"ALTER TABLE {table} DROP {column}, ADD {column} {type_name}")  # type: ignore[arg-type]
            if type_name in GOOD[usual]:
                assert reading.column_types(connection, table)[column] == type_name
            else:
                with pytest.raises(SourceError, match=re.escape(f"{table}.{column} has type {type_name}, ")):
                    reading.column_types(connection, table)
            connection.rollback()


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("fact_transactions", "mobile_id"),
        ("fact_transaction_items", "price"),
        ("dim_menu_items", "category"),
        ("dim_menu_daytimes", "start_time"),
    ],
)
def test_a_domain_is_refused_by_the_run_and_by_doctor(
    migrated_url: str, tmp_path: Path, table: str, column: str
) -> None:
    fill(migrated_url, {})
    with psycopg.connect(migrated_url) as connection:
        connection.execute("CREATE DOMAIN a_domain AS numeric")
        connection.execute(f"ALTER TABLE {table} DROP {column}, ADD {column} a_domain")  # type: ignore[arg-type]
    settings = make_settings(migrated_url, tmp_path)
    run = run_inline(settings, "rfm" if table == "fact_transactions" else "menu").run
    assert run.error_code == "source_column_type" and f"{table}.{column} has type a_domain, " in (run.error or "")
    assert run.error in [finding.found for finding in examine(settings, {}) if finding.level == "fault"]
