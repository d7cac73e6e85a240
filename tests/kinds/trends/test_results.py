"""What is published of half a year, over HTTP, in the views and by the command."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from cli.commands import cli
from cli.trends import sparkline
from settings import Settings
from store import queries
from tests.builders import plain_orders
from tests.kinds.trends.restaurant import FIRST, HOLIDAY, LAST, MORNING_AFTER, orders_on, soups_on, tables
from tests.system import fill, make_settings, read, run_inline
from webhook.app import create_app

TOKEN = "a-token-of-some-length"
WEEK = timedelta(days=7)


@pytest.fixture
def settings(migrated_url: str, tmp_path: Path) -> Settings:
    return make_settings(migrated_url, tmp_path, API_TOKENS=TOKEN)


@pytest.fixture
def published(settings: Settings) -> FlaskClient:
    """A client of half a year, published the morning after; today a guest has had a tea at 08:30."""
    half_a_year = tables()
    sold, lines = half_a_year["fact_transactions"], half_a_year["fact_transaction_items"]
    sold.loc[len(sold)] = (9_999, None, "4.00", MORNING_AFTER - timedelta(hours=0.5))
    lines.loc[len(lines)] = (len(lines) + 1, 9_999, 1, 1, "4.00")
    fill(settings.database_url, half_a_year)
    run = run_inline(settings, "trends", at=MORNING_AFTER).run
    assert run.status == "succeeded", run.error
    assert run.counts is not None and run.counts["closed_days"] == 29 and run.counts["closed_weekdays"] == [7]
    return create_app(settings).test_client()


def get(client: FlaskClient, path: str) -> dict:
    answer = client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.get_json()
    return answer.get_json()


def test_half_a_year_is_published_and_read(
    published: FlaskClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    trends = {(row["metric"], row["dimension"]): row for row in get(published, "/trends")["trends"]}
    soup, orders = trends["item_orders", "2"], trends["orders", ""]
    assert (soup["direction"], soup["name"], soup["weeks"], soup["season_unknown"]) == ("rising", "Soup", 26, True)
    assert soup["change"] > 0.5 and soup["q_value"] <= 0.1 and orders["direction"] == "steady"
    assert trends["category_orders", "Starters"]["direction"] == "rising"
    assert [row["dimension"] for row in get(published, "/trends?metric=item_orders&direction=rising")["trends"]] == [
        "2"
    ]

    series = get(published, "/series?metric=orders")["series"]
    expected = {FIRST + timedelta(days=place): orders_on(FIRST + timedelta(days=place)) for place in range(196)}
    assert {row["business_date"]: row["value"] for row in series} == {
        day.isoformat(): count for day, count in (expected | {LAST + timedelta(days=1): 1}).items()
    }
    soups = get(published, f"/series?metric=item_orders&dimension=2&from={LAST - WEEK}&to={LAST}")["series"]
    assert [row["value"] for row in soups] == [soups_on(LAST - WEEK + timedelta(days=place)) for place in range(8)]

    closed = get(published, "/forecasts?metric=orders")["closed"]
    assert closed == "29 of them without any order; closed on Sundays"
    forecasts = get(published, "/forecasts?metric=orders")["forecasts"]
    assert [row["business_date"] for row in forecasts] == [
        (LAST + timedelta(days=place)).isoformat() for place in range(1, 29)
    ]
    assert [row["method"] == "closed" for row in forecasts] == [place % 7 == 6 for place in range(28)]
    for row in forecasts[:6]:
        assert row["low"] <= row["forecast"] <= row["high"]
    assert [round(row["forecast"]) for row in forecasts[:7]] == [6, 6, 7, 8, 10, 12, 0]

    compared = get(published, "/series/compare?metric=orders")
    assert compared["until"] == 5 and compared["today"]["value"] == 1 and compared["today"]["so_far"] == 1
    assert compared["last_week"] == {
        "business_date": (LAST - WEEK + timedelta(days=1)).isoformat(),
        "value": 6,
        "so_far": 0,
    }
    assert compared["four_weeks"] == {"value": 6, "so_far": 0} and compared["year_ago"]["value"] is None
    soups = get(published, "/series/compare?metric=item_orders&dimension=2")
    assert soups["today"]["value"] == 0 and soups["last_week"]["value"] == soups_on(LAST - WEEK + timedelta(days=1))

    hours = get(published, "/series/hours?days=7")
    assert len(hours) == 168 and hours[5 * 24 + 12] == {"weekday": 6, "hour": 12, "orders": 12, "revenue": 120.0}

    cohorts = get(published, "/cohorts")["cohorts"]
    assert [(cohort["month"], cohort["customers"]) for cohort in cohorts] == [("2025-09", 40)]
    assert cohorts[0]["months"][0]["customers"] == 40 and cohorts[0]["months"][0]["share"] == 1

    views = {
        name: len(read(settings.database_url, f"SELECT * FROM {name}")) for name in ("metric_trends", "metric_series")
    }
    assert views["metric_trends"] == len(trends) and views["metric_series"] > 196 * 7
    ahead = read(settings.database_url, "SELECT * FROM metric_forecasts WHERE metric = 'orders' ORDER BY business_date")
    assert ahead["forecast"].tolist() == [row["forecast"] for row in forecasts]
    assert HOLIDAY.isoformat() in {row["business_date"] for row in series if row["value"] == 0}

    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("SMARTCRM_HOME", str(settings.home))
    shown = CliRunner().invoke(cli, ["trends"])
    assert shown.exit_code == 0 and "rising" in shown.output and "Soup" in shown.output, shown.output
    printed = json.loads(CliRunner().invoke(cli, ["trends", "--json", "--metric", "item_orders"]).output)
    assert printed["trends"] == get(published, "/trends?metric=item_orders")["trends"]

    findings = json.loads(CliRunner().invoke(cli, ["doctor", "--json"]).output)["findings"]
    (found,) = [each["found"] for each in findings if each["subject"] == "trends"]
    assert found == "196 complete days, 29 of them without any order; closed on Sundays"

    pages, cursor = [], ""
    while cursor is not None:
        page = get(published, f"/series?metric=daypart_orders&limit=150&cursor={cursor}")
        pages += page["series"]
        cursor = page["next_cursor"]
    assert pages == get(published, "/series?metric=daypart_orders")["series"]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert published.get("/trends?cursor=x", headers=headers).status_code == 422
    assert published.get("/series?metric=weather", headers=headers).status_code == 422
    tag = published.get("/cohorts", headers=headers).headers["ETag"]
    assert published.get("/cohorts", headers=headers | {"If-None-Match": tag}).status_code == 304


def test_relations_are_exported_as_their_lists_show_them(
    published: FlaskClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "BLOCK", 1000)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for relation, path, given in (
        ("metric_series", "series", f"metric=item_orders&from={LAST - WEEK}&to={LAST}"),
        ("metric_series", "series", "metric=daypart_revenue"),
        ("metric_trends", "trends", ""),
        ("metric_trends", "trends", "direction=rising"),
        ("metric_forecasts", "forecasts", "metric=item_orders&dimension=2"),
    ):
        answer = published.get(f"/exports/{relation}.csv?{given}", headers=headers)
        assert answer.status_code == 200 and answer.mimetype == "text/csv"
        exported = list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))
        listed = get(published, f"/{path}?limit=1000&{given}")[path]
        assert len(exported) == len(listed) > 0
        for row, same in zip(exported, listed, strict=True):
            assert row.keys() == same.keys()
            for name, value in same.items():
                text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
                assert row[name] == text or float(row[name]) == value
    whole = published.get("/exports/metric_series.csv", headers=headers)
    blocks = list(whole.iter_encoded())
    rows = read(settings.database_url, "SELECT * FROM metric_series")
    assert len(blocks) > 100 and b"".join(blocks).count(b"\n") == len(rows) + 1

    cut = published.get("/exports/metric_series.csv", headers=headers)
    next(iter(cut.iter_encoded()))
    cut.close()
    idle = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    assert read(settings.database_url, idle)["n"][0] == 0, "a caller that went away leaves no transaction open"

    assert published.get("/exports/metric_series.csv").status_code == 401
    assert published.get("/exports/metric_series.csv?metric=weather", headers=headers).status_code == 422


def test_segments_are_series_from_the_day_on_that_their_history_began_and_a_day_begins_with_nothing(
    settings: Settings,
) -> None:
    fill(settings.database_url, tables())
    for days in (4, 3, 2):
        run_inline(settings, "rfm", at=MORNING_AFTER - timedelta(days=days))
    assert run_inline(settings, "trends", at=MORNING_AFTER).run.status == "succeeded"
    client = create_app(settings).test_client()
    history = read(settings.database_url, "SELECT * FROM segment_history ORDER BY segment, business_date")
    known = {(row.segment, str(row.business_date)): row.customers for row in history.itertuples()}
    series = get(client, "/series?metric=segment_customers")["series"]
    found = {(row["dimension"], row["business_date"]): row["value"] for row in series if row["value"]}
    assert found == known
    assert len({day for _, day in found}) == 3
    assert get(client, "/trends?metric=segment_revenue")["trends"][0]["direction"] == "too_little_data"

    assert get(client, "/series/compare?metric=orders")["today"]["value"] == 0, "nothing was sold yet"
    assert get(client, "/series/compare?metric=item_orders&dimension=99")["today"]["value"] is None


def test_a_day_is_too_little_data_and_said_so(settings: Settings) -> None:
    fill(settings.database_url, plain_orders())
    run = run_inline(settings, "trends").run
    assert run.status == "succeeded" and run.counts is not None and run.counts["too_little_data"] == 1
    client = create_app(settings).test_client()
    for path, needs, has in (("/trends", {"weeks": 12}, {"weeks": 0}), ("/forecasts", {"days": 14}, {"days": 1})):
        answer = get(client, path)
        assert (answer["status"], answer["needs"], answer["has"]) == ("too_little_data", needs, has)
    assert get(client, "/series?metric=orders")["series"][0]["value"] == 6
    fill(settings.database_url, {})
    assert run_inline(settings, "trends").run.status == "succeeded"
    assert get(client, "/series")["status"] == "too_little_data"
    assert get(client, "/cohorts")["cohorts"] == []


def test_a_day_that_may_still_get_orders_is_forecast_and_not_learned_from(settings: Settings) -> None:
    fill(settings.database_url, tables())
    saturday = LAST - timedelta(days=1)
    query = (
        "SELECT min(business_date) AS first, max(business_date) AS last FROM metric_forecasts WHERE metric = 'orders'"
    )
    for moment, given, first in (
        (datetime.combine(saturday, time(12, 5), UTC), False, saturday),
        (datetime.combine(saturday, time(12, 5), UTC), True, saturday),
        (datetime.combine(saturday, time.max, UTC), True, LAST),  # a date alone means the whole of it
        (datetime.combine(saturday, time.max, UTC), False, saturday),
    ):
        run = run_inline(settings, "trends", **({"as_of": moment} if given else {"at": moment}), mode="full").run
        assert run.status == "succeeded", run.error
        found = read(settings.database_url, query).iloc[0]
        assert (found["first"], found["last"]) == (first, first + timedelta(days=27))
    again = run_inline(settings, "trends", mode="incremental").run
    assert (again.status, again.mode) == ("succeeded", "incremental")


def test_a_sparkline_goes_from_the_least_to_the_largest() -> None:
    assert sparkline([0, 7, float("nan"), 3.5]) == "▁█ ▅"
    assert sparkline([2, 2]) == "▁▁" and sparkline([]) == ""
