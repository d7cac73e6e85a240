"""Rules over HTTP: another map's preview, cut points, weekdays, and the matrix."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.system import menu_on, rfm_segments, run_inline
from tests.webhook.test_results import NOON, TOKEN, Api, api, published  # noqa: F401  # fixtures
from webhook.app import create_app


@pytest.fixture
def tea(published: Api) -> Api:  # noqa: F811
    """The published restaurant with a daypart in which its orders are."""
    with psycopg.connect(published.settings.database_url) as connection:
        connection.execute("INSERT INTO dim_menu_daytimes VALUES (3, 'Tea', '16:30', '18:29')")
    assert run_inline(published.settings, "menu", at=NOON + timedelta(hours=1)).run.status == "succeeded"
    return published


def post(api: Api, tables: Any, status: int = 200, token: str = "first-token") -> Any:  # noqa: F811  # a test's
    answer = api.client.post("/rfm_segments_preview", json=tables, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json(force=True)


def test_a_preview_over_http_is_what_the_next_run_with_that_map_publishes(
    published: Api,  # noqa: F811
    tmp_path: Path,
) -> None:
    before = rfm_segments(published.settings.database_url)
    tables = {"cut_points": {"frequency": [0, 1, 3, 7.5]}, "monetary": {"measure": "average"}}
    reported = post(published, tables)
    assert rfm_segments(published.settings.database_url).equals(before)
    assert reported["cut_points"]["source"] == {
        "recency_days": "quintiles",
        "frequency": "own",
        "monetary": "quintiles",
    }
    assert reported["cut_points"]["unit"]["monetary"] == "money per purchase"
    assert reported["cut_points"]["frequency"] == ["0", "1", "3", "7.5"] and reported["customers"] == 12
    path = tmp_path / "map.toml"
    path.write_text('[cut_points]\nfrequency = [0, 1, 3, 7.5]\n[monetary]\nmeasure = "average"\n')
    run_inline(replace(published.settings, segment_map=path), "rfm", at=NOON + timedelta(hours=1))
    after = rfm_segments(published.settings.database_url)
    assert {row["segment"]: row["customers"] for row in reported["segments"] if row["customers"]} == Counter(
        after.segment
    )
    moved = before.segment != after.segment
    assert reported["moved"] == moved.sum() == len(reported["sample"]) > 0
    assert published.get("/rfm_segments/summary")["cut_points"] == reported["cut_points"]
    customer = after.iloc[3]
    why = published.get(f"/rfm_segments/{customer.mobile_id}")
    assert why["cut_points"] == reported["cut_points"] and why["monetary_scored"] == f"{customer.monetary / 4:.2f}"
    changes = published.get("/segment_changes")["changes"]
    assert len(changes) == reported["moved"] and {change["reason"] for change in changes} == {"settings"}


WRONG: list[tuple[Any, str, str]] = [
    ({"cut_points": {"frequency": [1, 1, 2, 3]}}, "invalid_map", "cut_points.frequency has to be four rising"),
    ({"segments": {"All": ["111"]}}, "invalid_map", "segments misses 112"),
    ({"segment": {}}, "invalid_request", "segment"),
    ({"segment": None}, "invalid_request", "segment"),
    ({"monetary": {"measure": "median"}}, "invalid_request", "monetary.measure"),
    ({"exclude": {"mobile_ids": [7]}}, "invalid_request", "exclude.mobile_ids"),
]


def test_tables_that_make_no_map_are_refused(api: Api) -> None:  # noqa: F811
    for tables, code, said in WRONG:
        reported = post(api, tables, 422)
        assert reported["error_code"] == code and said in reported["detail"]


def test_a_token_for_reading_may_ask_for_a_preview_and_for_no_run(published: Api) -> None:  # noqa: F811
    settings = replace(published.settings, read_tokens=("reading-token",))
    reader = Api(create_app(settings).test_client(), settings)
    assert post(reader, {}, token="reading-token")["moved"] == 0
    refused = reader.client.post("/runs", json={}, headers={"Authorization": "Bearer reading-token"})
    assert refused.status_code == 403
    assert post(reader, {}, 401, token="another-token")["error_code"] == "unauthorized"


def test_before_the_first_run_there_is_nothing_to_preview_or_to_place(api: Api) -> None:  # noqa: F811
    assert post(api, {}, 404)["error_code"] == "no_results"
    assert api.get("/menu_matrix", 404)["error_code"] == "no_results"


def test_weekdays_are_ranked_apart(tea: Api) -> None:
    for day in ("weekday", "weekend", "1"):
        reported = tea.get(f"/menu_recommendations?day={day}")
        shown = [
            (each["daypart"]["daytime_id"], item["menu_item_id"], item["rank"], item["orders"], item["menu_item_name"])
            for each in reported["dayparts"]
            for item in each["items"]
        ]
        names = {1: "Soup", 2: "Tart"}
        expected = menu_on(tea.settings.database_url, day)
        rows = expected[["daytime_id", "menu_item_id", "rank", "orders"]].itertuples(index=False)
        assert shown == [(*row, names.get(row.menu_item_id)) for row in rows]
        assert shown and tea.get(f"/menu_recommendations?daytime_id=3&day={day}") == reported["dayparts"][2]
        assert tea.get(f"/menu_recommendations?at=17:00&day={day}") == reported["dayparts"][2]
    assert "day" in tea.get("/menu_recommendations?day=sunday", 422)["detail"]


def test_the_matrix_goes_by_price_until_an_item_has_a_cost(tea: Api) -> None:
    reported = tea.get("/menu_matrix")
    assert reported["by"] == "price" and "No item has a cost" in reported["note"]
    assert {item["margin"] for item in reported["items"]} == {"3.000000"}
    with psycopg.connect(tea.settings.database_url) as connection:
        connection.execute("UPDATE dim_menu_items SET cost = 1.25 * item_id")
    run_inline(tea.settings, "menu", at=NOON + timedelta(hours=2), mode="incremental")
    reported = tea.get("/menu_matrix")
    assert (reported["by"], reported["without_cost"], reported["daytime_id"]) == ("margin", 1, None)
    assert [(item["name"], item["margin"], item["kind"]) for item in reported["items"]] == [
        ("Soup", "1.750000", "star"),
        ("Tart", "0.500000", "plough-horse"),
        (None, None, None),
    ]
    assert tea.get("/menu_matrix?daytime_id=3")["items"] == reported["items"]
    assert tea.get("/menu_matrix?daytime_id=1")["items"] == []
    assert tea.get("/menu_matrix?daytime_id=9", 404)["error_code"] == "daypart_not_found"
    assert tea.client.get("/menu_matrix", headers=TOKEN).headers["ETag"]
