"""`/exports`: every relation as CSV, as SQL shows it and as its list filters it, in flat memory."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import psutil
import psycopg
import pytest
import requests
from flask.testing import FlaskClient

from embedded import restaurant
from kinds import KINDS
from settings import Settings
from source.load import load
from tests.builders import NOON, items, transactions
from tests.system import Webhook, fill, make_settings, read, run_inline
from webhook.app import create_app

TOKEN = {"Authorization": "Bearer first-token"}
MB = 2**20


def exported(client: FlaskClient, path: str, status: int = 200) -> list[dict[str, str]]:
    answer = client.get(f"/exports/{path}", headers=TOKEN)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return list(csv.DictReader(io.StringIO(answer.get_data(as_text=True)))) if status == 200 else []


def shown(value: Any) -> str:
    """A value of a relation as an export writes it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def same(rows: list[dict[str, str]], relation: pd.DataFrame) -> None:
    """Whether an export has a relation's rows, in any order."""
    assert rows and set(rows[0]) == set(relation.columns)
    expected = [[shown(value) for value in row] for row in relation.to_numpy()]
    found = [[row[name] for name in relation.columns] for row in rows]
    assert sorted(found) == sorted(expected)


@pytest.fixture
def two_days(migrated_url: str, tmp_path: Path) -> Settings:
    """Segments and menu of two days, in which customers moved."""
    sold = [(n, f"c{n % 9}", f"{n % 7 + 1}.50", NOON - timedelta(days=n % 30, hours=n % 11)) for n in range(90)]
    lines = items([(n, n % 4, 1 + n % 2, "2.00") for n in range(90)])
    settings = make_settings(migrated_url, tmp_path, API_TOKENS="first-token", KINDS="rfm menu")
    for at, count in ((NOON, 60), (NOON + timedelta(days=3), 90)):
        fill(migrated_url, {"fact_transactions": transactions(sold[:count]), "fact_transaction_items": lines})
        for kind in ("rfm", "menu"):
            assert run_inline(settings, kind, at=at).run.status == "succeeded"
    return settings


def test_segments_and_menu_are_exported_as_they_are(two_days: Settings) -> None:
    url, client = two_days.database_url, create_app(two_days).test_client()
    for relation in ("segment_changes", "segment_history", "menu_recommendation"):
        same(exported(client, f"{relation}.csv"), read(url, f"SELECT * FROM {relation}"))
    changes = read(url, "SELECT * FROM segment_changes ORDER BY change_id")
    after = int(changes["change_id"].iloc[1])
    later = exported(client, f"segment_changes.csv?after={after}")
    assert [int(row["change_id"]) for row in later] == [each for each in changes["change_id"] if each > after]
    history = read(url, "SELECT * FROM segment_history")
    segment, day = history["segment"].iloc[0], date(2026, 3, 5)
    some = exported(client, f"segment_history.csv?segment={segment}&from={day}&to={day}")
    assert len(some) == ((history["segment"] == segment) & (history["business_date"] == day)).sum()
    daypart = read(url, "SELECT daytime_id FROM menu_recommendation LIMIT 1")["daytime_id"][0]
    same(
        exported(client, f"menu_recommendation.csv?daytime_id={daypart}"),
        read(url, f"SELECT * FROM menu_recommendation WHERE daytime_id = {daypart}"),
    )
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE analytics_published SET changes_dropped_to = 3")
    exported(client, "segment_changes.csv?after=2", 410)
    exported(client, "customer_predictions.csv", 404)
    assert client.get("/exports/segment_changes.csv").status_code == 401


def test_an_export_for_spreadsheets_keeps_ids_as_text_and_numbers_as_numbers(migrated_url: str, tmp_path: Path) -> None:
    settings = make_settings(migrated_url, tmp_path, API_TOKENS="first-token", KINDS="rfm")
    ids = ("=1+1", "+44 7700", "@sum", "-5", "0042", "c1", "7", "mar 3", 'a"b\nc')
    sold = [(n, mobile_id, "2.50", NOON) for n, mobile_id in enumerate(ids)] + [(99, "c1", "-9.00", NOON)]
    fill(migrated_url, {"fact_transactions": transactions(sold)})
    run_inline(settings, "rfm", at=NOON)
    client = create_app(settings).test_client()
    plain = exported(client, "rfm_segments.csv")
    answer = client.get("/exports/rfm_segments.csv?for_excel=true", headers=TOKEN).get_data()
    assert answer.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(answer.decode("utf-8-sig"), newline="")))
    kept = {"c1", "7", 'a"b\nc'}
    assert [row.pop("mobile_id") for row in rows] == [
        mobile_id if mobile_id in kept else f"'{mobile_id}" for mobile_id in sorted(ids)
    ]
    assert rows == [{name: value for name, value in row.items() if name != "mobile_id"} for row in plain]
    assert "-6.50" in {row["monetary"] for row in rows}


@pytest.mark.long
def test_every_kinds_relations_are_exported_as_their_lists_filter_them(migrated_url: str, tmp_path: Path) -> None:
    made = restaurant.generate(seed=20260101, until=datetime.now(ZoneInfo("Europe/London")))
    load(migrated_url, restaurant.write(made, tmp_path), timezone="Europe/London")
    settings = make_settings(migrated_url, tmp_path, API_TOKENS="first-token", TIMEZONE="Europe/London")
    for kind in KINDS:
        assert run_inline(settings, kind).run.status == "succeeded"
    client = create_app(settings).test_client()
    for relation in ("customer_predictions", "customer_clusters", "segment_recommendation", "recommendation_quality"):
        same(exported(client, f"{relation}.csv"), read(migrated_url, f"SELECT * FROM {relation}"))
    profiles = exported(client, "cluster_profiles.csv")
    same(
        [{**row, "features": ""} for row in profiles],
        read(migrated_url, "SELECT * FROM cluster_profiles").assign(features=""),
    )
    overdue = exported(client, "customer_predictions.csv?overdue=true&min_p_order_90d=0.3&segment=champions")
    assert [row["mobile_id"] for row in overdue] == [
        row["mobile_id"]
        for row in client.get(
            "/predictions?overdue=true&min_p_order_90d=0.3&segment=champions&limit=1000", headers=TOKEN
        ).get_json()["predictions"]
    ]
    assert len(overdue) > 5
    cluster = profiles[0]["cluster_id"]
    assert len(exported(client, f"customer_clusters.csv?cluster={cluster}")) == int(profiles[0]["customers"])
    picks = exported(client, "segment_recommendation.csv?segment=Champions&daytime_id=4")
    assert {(row["segment"], row["daytime_id"]) for row in picks} == {("Champions", "4")}


@pytest.mark.long
def test_a_million_predictions_are_exported_in_flat_memory(two_days: Settings, redis_url: str, tmp_path: Path) -> None:
    with psycopg.connect(two_days.database_url) as connection:
        connection.execute(
            "INSERT INTO analytics_published"
            " SELECT 'predictions', generation, run_id, as_of, published_at, NULL, NULL, 0"
            " FROM analytics_published WHERE kind = 'menu'"
        )
        query = "SELECT generation FROM analytics_published WHERE kind = 'predictions'"
        (generation,) = connection.execute(query).fetchone() or (0,)
        for statement in (
            f"CREATE TABLE many PARTITION OF prediction_results FOR VALUES IN ({generation})",
            "INSERT INTO many (generation, shard, mobile_id, x, t_x, t, p_alive, p_order_30d, p_order_90d,"
            " expected_orders_90d, value_cents, model_version, written_by)"
            f" SELECT {generation}, 0, '+4477' || n, 1, 1, 1, 0.5, 0.5, 0.5, 1.5, n, 1, {generation}"
            " FROM generate_series(1, 1000000) AS n",
        ):
            connection.execute(statement.encode())
    names = {"DATABASE_URL": two_days.database_url, "REDIS_URL": redis_url, "API_TOKENS": "first-token"}
    webhook = Webhook({**names, "SMARTCRM_HOME": str(tmp_path / "home")}, tmp_path / "webhook.log")
    webhook.start()
    try:
        url = f"{webhook.url}/exports/customer_predictions.csv"
        for _ in range(4):  # each process has loaded what it needs
            requests.get(f"{url}?max_p_order_90d=0.1", headers=TOKEN, timeout=60)
        before, rows, most = memory(webhook), -1, 0
        with requests.get(url, headers=TOKEN, timeout=60, stream=True) as answer:
            for place, block in enumerate(answer.iter_content(2**20)):
                rows += block.count(b"\n")
                most = max(most, memory(webhook)) if place % 10 == 0 else most
        assert rows == 1_000_000
        assert most - before < 60 * MB
    finally:
        webhook.kill()


def memory(webhook: Webhook) -> int:
    """The resident memory of the webhook's processes, in bytes."""
    parent = psutil.Process(webhook.process.pid)
    return sum(process.memory_info().rss for process in (parent, *parent.children(recursive=True)))
