"""Reads over HTTP: segments, one customer, the menu by time of day, changes, and the OpenAPI document; long, since all
reads share one published state.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pandas as pd
import psycopg
import pytest
import redis
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from broker.address import PREFIX
from kinds import upkeep
from settings import Settings
from store.database import transaction
from tests.builders import items, transactions
from tests.installed import program
from tests.system import fill, make_settings, read, rfm_segments, run_inline
from webhook.app import create_app

TOKEN = {"Authorization": "Bearer first-token"}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAYPARTS = pd.DataFrame(
    [(1, "Lunch", "11:00", "14:29"), (2, "Night", "22:00", "01:59")],
    columns=["daytime_id", "daytime_label", "start_time", "end_time"],
)


@dataclass
class Api:
    """A client with a token, on a restaurant of twelve customers."""

    client: FlaskClient
    settings: Settings

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        answer = self.client.get(path, headers=TOKEN | headers)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer.get_json(force=True) if status != 304 else None

    def sell(self, number: int, customer: str, amount: str) -> None:
        with psycopg.connect(self.settings.database_url) as connection:
            connection.execute(
                "INSERT INTO fact_transactions VALUES (%s, %s, %s, %s)", (number, customer, amount, NOON)
            )


@pytest.fixture
def api(migrated_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    customers = [f"+44 20 {number:02}/ä" for number in range(12)]
    sold = [
        (10 * place + visit, customer, f"{place + 1}.50", NOON - timedelta(days=place))
        for place, customer in enumerate(customers)
        for visit in range(place + 1)
    ]
    tables = {
        "fact_transactions": transactions(sold),
        "fact_transaction_items": items([(row[0], 1 + row[0] % 3, 2, "3.00") for row in sold]),
        "dim_menu_items": pd.DataFrame(
            {
                "item_id": [1, 2],
                "menu_item_name": ["Soup", "Tart"],
                "price": ["3", "3"],
                "category": ["Starters", None],
            },
            dtype=object,
        ),
        "dim_menu_daytimes": DAYPARTS,
    }
    fill(migrated_url, tables)
    rules = {"KINDS": "rfm menu", "TIMEZONE": "Asia/Kathmandu"}
    settings = make_settings(migrated_url, tmp_path, redis_url, API_TOKENS="first-token", **rules)
    for name, value in (("DATABASE_URL", settings.database_url), ("REDIS_URL", settings.redis_url)):
        monkeypatch.setenv(name, value)
    return Api(create_app(settings).test_client(), settings)


@pytest.fixture
def published(api: Api) -> Api:
    for kind in ("rfm", "menu"):
        assert run_inline(api.settings, kind, at=NOON + timedelta(hours=1)).run.status == "succeeded"
    return api


@pytest.mark.parametrize(
    "path", ["/rfm_segments", "/rfm_segments/summary", "/rfm_segments/x", "/menu_recommendations", "/segment_changes"]
)
def test_before_the_first_run_there_are_no_results_and_without_a_token_no_answer(api: Api, path: str) -> None:
    assert api.get(path, 404)["error_code"] == "no_results"
    assert api.client.get(path).status_code == 401


def test_pages_hold_every_customer_once_in_order(published: Api) -> None:
    table = rfm_segments(published.settings.database_url)
    seen, cursor = [], ""
    while cursor is not None:
        page = published.get(f"/rfm_segments?limit=5{cursor and f'&cursor={cursor}'}")
        seen += page["segments"]
        cursor = page["next_cursor"]
    assert page["run_id"] == str(read(published.settings.database_url, "SELECT run_id FROM rfm_segments").run_id[0])
    assert sorted(row["mobile_id"] for row in seen) == sorted(table.mobile_id) and len(seen) == 12
    assert {row["mobile_id"]: (row["monetary"], row["rfm_score"]) for row in seen} == {
        row.mobile_id: (str(row.monetary), row.rfm_score) for row in table.itertuples()
    }


def test_one_segment_is_listed_alone_and_an_unknown_one_is_reported(published: Api) -> None:
    table = rfm_segments(published.settings.database_url)
    wanted = table[table.segment == "Lost"].mobile_id.tolist()
    assert [row["mobile_id"] for row in published.get("/rfm_segments?segment=Lost")["segments"]] == sorted(wanted)
    for spelled in ("lost", "LOST", "lOsT"):
        assert published.get(f"/rfm_segments?segment={spelled}") == published.get("/rfm_segments?segment=Lost")
    assert "Champions" in published.get("/rfm_segments?segment=Lots", 422)["detail"]


INVALID = [
    ("rfm_segments?limit=0", "limit"),
    ("rfm_segments?limit=7.0", "limit"),
    ("rfm_segments?overdue=yes", "overdue"),
    ("rfm_segments?limit=1001", "limit"),
    ("rfm_segments?limit=many", "limit"),
    ("rfm_segments?cursor=%21%21", "cursor"),
    ("rfm_segments?cursor=AA", "cursor"),
    ("menu_recommendations?at=25:00", "at"),
    ("menu_recommendations?at=12:30&daytime_id=1", "both"),
    ("menu_recommendations?daytime_id=one", "daytime_id"),
    ("segment_changes?after=-1", "after"),
    ("runs?status=lost", "status"),
    ("runs?kind=fast", "kind"),
]


def test_an_invalid_query_is_refused_with_its_place(published: Api) -> None:
    for query, named in INVALID:
        reported = published.get(f"/{query}", 422)
        assert named in reported["detail"] and reported["status"] == 422, query


def test_an_empty_value_in_a_query_is_one_that_is_not_given(published: Api) -> None:
    for query in (
        "rfm_segments?segment=&limit=&cursor=",
        "menu_recommendations?daytime_id=&at=",
        "segment_changes?after=&limit=",
        "runs?webhook_id=&kind=&status=&limit=",
    ):
        assert published.get(f"/{query}") == published.get(f"/{query.partition('?')[0]}"), query


def test_a_customer_is_shown_with_what_the_values_were_held_against(published: Api) -> None:
    reported = published.get("/rfm_segments/+44 20 00%2Fä")
    frequencies = pd.Series(range(1, 13))
    assert [float(point) for point in reported["cut_points"]["frequency"]] == [
        pytest.approx(frequencies.quantile(q)) for q in (0.2, 0.4, 0.6, 0.8)
    ]
    spent = frequencies * (frequencies + 0.5)
    assert [float(point) for point in reported["cut_points"]["monetary"]] == [
        pytest.approx(spent.quantile(q)) for q in (0.2, 0.4, 0.6, 0.8)
    ]
    assert (reported["frequency"], reported["monetary"], reported["rfm_score"], reported["last_change"]) == (
        1,
        "1.50",
        "511",
        None,
    )
    assert published.get("/rfm_segments/nobody", 404)["error_code"] == "customer_not_found"
    assert published.get("/rfm_segments/%00", 404)["error_code"] == "customer_not_found"


def test_a_move_is_reported_with_the_customer_and_in_the_changes(published: Api) -> None:
    for visit in range(20):
        published.sell(5000 + visit, "+44 20 00/ä", "99.00")
    run_inline(published.settings, "rfm", at=NOON + timedelta(hours=2), mode="incremental")
    reported = published.get("/rfm_segments/+44 20 00%2Fä")
    assert (reported["segment"], reported["last_change"]["to_segment"]) == ("Champions", "Champions")
    assert (reported["last_change"]["from_segment"], reported["last_change"]["reason"]) == (
        "New Customers",
        "behaviour",
    )
    seen, after, more = [], "", True
    while more:
        page = published.get(f"/segment_changes?limit=1{after}")
        seen += page["changes"]
        after, more = f"&after={page['next_after']}", page["has_more"]
    assert reported["last_change"] in seen
    assert len({change["change_id"] for change in seen}) == len(seen)
    assert published.get(f"/segment_changes?{after[1:]}") == {
        "changes": [],
        "next_after": seen[-1]["change_id"],
        "has_more": False,
    }


def test_a_cursor_older_than_what_is_kept_gets_410(published: Api) -> None:
    with psycopg.connect(published.settings.database_url) as connection:
        connection.execute("UPDATE analytics_published SET changes_dropped_to = 10 WHERE kind = 'rfm'")
    assert published.get("/segment_changes?after=9", 410)["error_code"] == "cursor_too_old"
    assert published.get("/segment_changes?after=10")["next_after"] == 10
    assert published.get("/segment_changes")["next_after"] == 10


def test_the_summary_agrees_with_the_table(published: Api) -> None:
    reported = published.get("/rfm_segments/summary")
    table = rfm_segments(published.settings.database_url)
    assert reported["customers"] == 12 and sum(row["share"] for row in reported["segments"]) == pytest.approx(1)
    assert {row["segment"]: row["customers"] for row in reported["segments"]} == table.segment.value_counts().to_dict()


def test_an_etag_spares_the_answer_until_the_next_publish(published: Api) -> None:
    for path in ("/rfm_segments?limit=2", "/rfm_segments/summary", "/menu_recommendations", "/segment_changes"):
        etag = published.client.get(path, headers=TOKEN).headers["ETag"]
        published.get(path, 304, **{"If-None-Match": etag})
        published.get(path, 200, **{"If-None-Match": '"another"'})
    for kind in ("rfm", "menu"):
        run_inline(published.settings, kind, at=NOON + timedelta(hours=2), mode="incremental")
    published.get(path, 200, **{"If-None-Match": etag})


def test_a_forgotten_customer_is_not_confirmed_to_who_has_seen_them(published: Api) -> None:
    path = "/rfm_segments/+44 20 03/ä"
    etag = published.client.get(path, headers=TOKEN).headers["ETag"]
    with transaction(published.settings.database_url) as session:
        assert upkeep.forget(session, "+44 20 03/ä") == 1
    published.get(path, 404, **{"If-None-Match": etag})


def test_a_customer_may_have_slashes_anywhere(published: Api) -> None:
    named = ["a//b", "/a", "//a/", "a/", "/", "/summary", "a\nb"]
    for number, customer in enumerate(named):
        published.sell(5000 + number, customer, "7.00")
    run_inline(published.settings, "rfm", at=NOON + timedelta(hours=2))
    for customer in named:
        for path in (quote(customer), quote(customer, safe="")):
            assert published.get(f"/rfm_segments/{path}")["mobile_id"] == customer
    assert "cut_points" in published.get("/rfm_segments/summary")


def test_a_customer_whose_id_is_a_word_of_a_path_is_read_by_the_query(published: Api) -> None:
    for number, customer in enumerate(("summary", "+44 &/?")):
        published.sell(6000 + number, customer, "7.00")
    run_inline(published.settings, "rfm", at=NOON + timedelta(hours=2))
    for customer in ("summary", "+44 &/?", "+44 20 03/ä"):
        reported = published.get(f"/rfm_segments?mobile_id={quote(customer, safe='')}")
        assert reported["mobile_id"] == customer and reported["cut_points"]
    assert reported == published.get("/rfm_segments/+44 20 03/ä")
    unknown = published.get("/rfm_segments?mobile_id=nobody", 404)
    assert unknown["error_code"] == "customer_not_found"
    assert "mobile_id" in published.get("/rfm_segments?mobile_id=summary&segment=Lost", 422)["detail"]
    assert published.get("/rfm_segments/", 404)["error_code"] == "not_found"


def test_the_menu_answers_by_time_of_day_across_midnight_and_in_gaps(published: Api) -> None:
    whole = published.get("/menu_recommendations")
    assert [each["daypart"]["daytime_label"] for each in whole["dayparts"]] == ["Lunch", "Night"]
    night = {"daytime_id": 2, "daytime_label": "Night", "start_time": "22:00", "end_time": "01:59"}
    for at in ("22:00", "00:00", "01:59"):
        assert published.get(f"/menu_recommendations?at={at}")["daypart"] == night
    for at in ("02:00", "21:59", "14:30"):
        assert published.get(f"/menu_recommendations?at={at}") == {"daypart": None, "items": []}
    lunch = published.get("/menu_recommendations?daytime_id=1")
    assert lunch == published.get("/menu_recommendations?at=14:29") == {"daypart": lunch["daypart"], "items": []}
    assert published.get("/menu_recommendations?daytime_id=3", 404)["error_code"] == "daypart_not_found"


def test_items_come_with_their_names(published: Api) -> None:
    with psycopg.connect(published.settings.database_url) as connection:
        connection.execute("UPDATE fact_transactions SET created_at = created_at - interval '6 hours'")  # 11:45 local
    run_inline(published.settings, "menu", at=NOON + timedelta(hours=1))
    lunch = published.get("/menu_recommendations?daytime_id=1")["items"]
    assert {(item["menu_item_id"], item["menu_item_name"], item["category"]) for item in lunch} == {
        (1, "Soup", "Starters"),
        (2, "Tart", None),
        (3, None, None),
    }
    assert [item["rank"] for item in lunch] == [1, 2, 3]


def test_now_is_the_restaurants_time(published: Api) -> None:
    local = datetime.now(ZoneInfo("Asia/Kathmandu"))
    with psycopg.connect(published.settings.database_url) as connection:
        connection.execute("DELETE FROM dim_menu_daytimes")
        around = [(local + timedelta(minutes=minutes)).strftime("%H:%M") for minutes in (-2, 2)]
        connection.execute("INSERT INTO dim_menu_daytimes VALUES (7, 'Now', %s, %s)", around)
    run_inline(published.settings, "menu")
    assert published.get("/menu_recommendations?at=now")["daypart"]["daytime_label"] == "Now"


def test_runs_can_be_requested_with_a_token(api: Api) -> None:
    answer = api.client.post("/runs", headers=TOKEN)
    assert answer.status_code == 202
    listed = api.get(answer.headers["Location"])["runs"]
    assert {(run["kind"], run["mode"]) for run in listed} == {("rfm", "full"), ("menu", "full")}
    dated = api.client.post("/runs", headers=TOKEN, json={"kinds": ["menu"], "as_of": "2026-03-02"})
    (run,) = api.get(dated.headers["Location"])["runs"]
    assert datetime.fromisoformat(run["as_of"]) == datetime(2026, 3, 2, 18, 14, 59, 999999, UTC)
    for wrong in ({"kinds": ["x"]}, {"as_of": "tomorrow"}, {"mode": "fast"}, []):
        assert api.client.post("/runs", headers=TOKEN, json=wrong).status_code == 422
    assert api.client.post("/runs", headers=TOKEN, data=b"{").status_code == 422
    assert api.client.post("/runs", headers=TOKEN, data=b"a=b", content_type="text/plain").status_code == 415
    assert api.client.post("/runs").status_code == 401


def test_a_run_with_an_as_of_says_full_from_the_start(api: Api) -> None:
    requested = {"kinds": ["menu"], "mode": "incremental", "as_of": "2026-03-02"}
    answer = api.client.post("/runs", headers=TOKEN, json=requested)
    (run,) = api.get(answer.headers["Location"])["runs"]
    assert (run["status"], run["mode"]) == ("pending", "full")
    assert api.get(run["url"])["mode"] == "full"


def test_metrics_tell_what_was_done_and_what_waits(published: Api) -> None:
    with psycopg.connect(published.settings.database_url) as connection:
        connection.execute("UPDATE fact_transactions SET total_amount = 'NaN' WHERE transaction_id = 0")
    run_inline(published.settings, "rfm", at=NOON + timedelta(hours=2))
    assert published.client.post("/runs", headers=TOKEN, json={"kinds": ["menu"]}).status_code == 202
    with redis.Redis.from_url(published.settings.redis_url) as client:
        waiting = client.lpush(f"{PREFIX}compute", "one", "two")
    text = published.client.get("/metrics", headers=TOKEN).get_data(as_text=True)
    reported = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert reported["smartcrm_runs_total", ("kind", "rfm"), ("mode", "full"), ("outcome", "succeeded")] == 2
    assert reported["smartcrm_parts_total", ("kind", "menu"), ("stage", "rank")] == 2
    assert reported["smartcrm_skipped_rows_total", ("kind", "rfm"), ("rows", "transactions")] == 1
    assert reported["smartcrm_run_seconds_total", ("kind", "rfm"), ("mode", "full")] > 0
    assert 0 <= reported["smartcrm_published_age_seconds", ("kind", "rfm")] < 60
    assert reported["smartcrm_runs_unfinished", ("status", "pending")] == 1
    assert reported["smartcrm_queue_length", ("queue", "compute")] == waiting == 2
    assert "+44" not in text
    assert published.client.get("/metrics").status_code == 401


def test_every_answer_has_its_security_headers(api: Api) -> None:
    for path in ("/healthz", "/runs", "/nowhere", "/docs"):
        headers = api.client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_the_log_names_the_route_and_no_customer(published: Api, caplog: pytest.LogCaptureFixture) -> None:
    import structlog

    with structlog.testing.capture_logs() as reported:
        published.get("/rfm_segments/+44 20 00%2Fä")
        published.get("/rfm_segments?limit=1&cursor=MQ")
    assert [line["route"] for line in reported] == ["/rfm_segments/<path:mobile_id>", "/rfm_segments"]
    assert "+44" not in str(reported) and "MQ" not in str(reported)


@pytest.mark.long
def test_the_docs_page_shows_every_operation_in_a_browser(api: Api, tmp_path: Path) -> None:
    chromium = program("chromium", "chromium-browser", "google-chrome")
    import threading

    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, api.client.application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
    ]
    flags += [
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'browser'}",
        "--virtual-time-budget=10000",
        "--dump-dom",
    ]
    try:
        page = subprocess.run(
            [chromium, *flags, f"http://127.0.0.1:{server.port}/docs"], capture_output=True, text=True, timeout=120
        ).stdout
    finally:
        server.shutdown()
    for path in api.client.get("/openapi.json").get_json()["paths"]:
        assert path.replace("/", "/<wbr>").replace("<wbr>", "") in page.replace("<wbr>", "").replace("\u200b", "")


def test_a_weighed_quantity_is_a_number_to_thousandths_and_a_whole_one_an_integer(api: Api, migrated_url: str) -> None:
    sold = transactions([(1, "a", "4.20", NOON), (2, "a", "4.20", NOON)])
    lines = items([(1, 1, "0.35", "12"), (1, 2, "1.0", "5"), (2, 1, "0.45", "12"), (2, 3, "0.5", "1")])
    fill(migrated_url, {"fact_transactions": sold, "fact_transaction_items": lines}, quantity="numeric")
    assert run_inline(api.settings, "menu").run.status == "succeeded"
    answer = api.client.get("/menu_recommendations?at=17:45", headers=TOKEN).get_data(as_text=True)
    assert [re.search(rf'"menu_item_id":{item},[^}}]*"quantity":([^,]+),', answer)[1] for item in (1, 2, 3)] == [  # type: ignore[index]
        "0.8",
        "1",
        "0.5",
    ]
