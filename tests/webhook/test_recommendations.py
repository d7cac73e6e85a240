"""Reading recommendations: lists with reasons that the orders confirm, quality in words, segments, and exports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import psycopg
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from cli.commands import cli
from settings import Settings
from tests.builders import items, transactions
from tests.system import fill, make_settings, run_inline
from webhook.app import create_app

TOKEN = {"Authorization": "Bearer a-token-for-the-lists"}
CUSTOMERS, VISITS, DISHES = 260, 8, 40
START = datetime(2025, 1, 6, 12, 45, tzinfo=UTC)


class Served(NamedTuple):
    client: FlaskClient
    settings: Settings
    url: str

    def get(self, path: str, **options: Any) -> Any:
        answer = self.client.get(path, headers=TOKEN, **options)
        assert answer.status_code == 200, answer.text
        return answer.get_json()


def orders() -> dict[str, pd.DataFrame]:
    """Customers who mostly take their own dish, and one of the five that everybody takes; lunches on weekdays."""
    chance = np.random.default_rng(5)
    sold, lines = [], []
    for visit in range(VISITS):
        for customer in range(CUSTOMERS):
            number = len(sold) + 1
            at = START + timedelta(days=7 * visit + customer % 5, minutes=customer % 90)
            sold.append((number, f"c{customer}", "12.00", at))
            own = 6 + customer % 30 if chance.random() < 0.8 else int(chance.integers(6, DISHES))
            lines += [(number, own, 1, "9.00"), (number, int(chance.integers(1, 6)), 1, "3.00")]
    return {"fact_transactions": transactions(sold), "fact_transaction_items": items(lines)}


@pytest.fixture(scope="module")
def menu() -> pd.DataFrame:
    ids = range(1, DISHES)  # the last dish is gone from the menu
    return pd.DataFrame(
        {"item_id": ids, "menu_item_name": [f"Dish {n}" for n in ids], "price": ["9.00"] * len(ids), "category": "Food"}
    )


@pytest.fixture
def served(migrated_url: str, tmp_path: Path, menu: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    fill(migrated_url, orders() | {"dim_menu_items": menu})
    settings = make_settings(
        migrated_url, tmp_path, KINDS="rfm recommendations", API_TOKENS="a-token-for-the-lists a-reader-of-lists:read"
    )
    for kind in ("rfm", "recommendations"):
        run = run_inline(settings, kind).run
        assert run.status == "succeeded", run.error
    for name, value in (("DATABASE_URL", migrated_url), ("SMARTCRM_HOME", str(tmp_path)), ("TIMEZONE", "UTC")):
        monkeypatch.setenv(name, value)
    yield Served(create_app(settings).test_client(), settings, migrated_url)


def test_lists_have_reasons_that_the_orders_confirm(served: Served) -> None:
    found = served.get("/recommendations/c7?at=12:45&limit=100")
    assert (found["method"], found["daypart"]["daytime_label"]) == ("personal", "Lunch")
    assert found["items"][0]["item_id"] == 13 and found["items"][0]["name"] == "Dish 13"
    assert DISHES not in [item["item_id"] for item in found["items"]]
    assert [item["rank"] for item in found["items"]] == [*range(1, len(found["items"]) + 1)]
    seen = set()
    with psycopg.connect(served.url) as connection:
        for item in found["items"]:
            reason = item["reason"]
            seen.add(reason["kind"])
            orders, last = connection.execute(
                "SELECT count(DISTINCT transaction_id), max(created_at AT TIME ZONE 'UTC' - interval '4 hours')::date"
                " FROM fact_transactions JOIN fact_transaction_items USING (transaction_id)"
                " WHERE item_id = %s AND (mobile_id = 'c7' OR %s)"
                " AND (NOT %s OR (created_at AT TIME ZONE 'UTC')::time BETWEEN '12:30' AND '14:29:59')",
                [item["item_id"], reason["kind"] == "popular", reason["kind"] == "popular"],
            ).fetchone() or (0, None)
            if reason["kind"] == "ordered":
                assert (reason["orders"], reason["last_ordered"]) == (orders, str(last))
            elif reason["kind"] == "popular":
                assert reason["orders"] == orders
            else:
                both = connection.execute(
                    "SELECT count(*) FROM (SELECT mobile_id FROM fact_transactions"
                    " JOIN fact_transaction_items USING (transaction_id) WHERE item_id = ANY(%s)"
                    " GROUP BY 1 HAVING count(DISTINCT item_id) = 2) AS buyers",
                    [[item["item_id"], reason["with"]["item_id"]]],
                ).fetchone()
                assert both is not None and reason["orders"] == both[0] >= 5
    assert "ordered" in seen


def test_what_was_bought_is_left_out_on_request_and_strangers_get_what_is_popular(served: Served) -> None:
    new = served.get("/recommendations/c7?at=12:45&exclude_bought=true&limit=100")
    assert new["method"] == "personal" and all(item["reason"]["kind"] != "ordered" for item in new["items"])
    stranger = served.get("/recommendations?mobile_id=nobody&at=12:45")
    assert stranger["method"] in ("daypart", "global") and stranger["items"][0]["item_id"] <= 5
    assert len(stranger["items"]) == 10 and {item["reason"]["kind"] for item in stranger["items"]} == {"popular"}
    nothing_sold = served.get("/recommendations?mobile_id=nobody&at=02:30")
    assert (nothing_sold["method"], nothing_sold["daypart"]["daytime_id"]) == ("global", 11)
    assert all(item["reason"]["orders"] > 0 for item in nothing_sold["items"])
    popular = make_settings(
        served.url, served.settings.home, API_TOKENS="a-token-for-the-lists", RECOMMENDATION_MODE="popular"
    )
    mine = create_app(popular).test_client().get("/recommendations/c7?at=12:45", headers=TOKEN).get_json()
    assert mine["method"] == stranger["method"]
    assert [item["item_id"] for item in mine["items"]] == [item["item_id"] for item in stranger["items"]]


def test_several_customers_at_once_and_what_is_refused(served: Served) -> None:
    reader = {"Authorization": "Bearer a-reader-of-lists"}
    body = {"mobile_ids": ["c7", "nobody", "c8"], "at": "12:45", "limit": 3}
    answer = served.client.post("/recommendations", json=body, headers=reader)
    assert answer.status_code == 200 and answer.headers["ETag"]
    lists = answer.get_json()["recommendations"]
    assert [each["mobile_id"] for each in lists] == body["mobile_ids"]
    assert lists[0]["items"] == served.get("/recommendations/c7?at=12:45&limit=3")["items"]
    assert served.client.post("/recommendations", json={"mobile_ids": ["x"] * 101}, headers=TOKEN).status_code == 422
    for path, status in (
        ("/recommendations/c7?at=12:45&daytime_id=4", 422),
        ("/recommendations/c7?limit=101", 422),
        ("/recommendations/c7?daytime_id=99", 404),
        ("/recommendations", 422),
    ):
        assert served.client.get(path, headers=TOKEN).status_code == status, path


def test_an_unchanged_list_is_answered_with_304_until_a_publish_or_an_erasure(served: Served) -> None:
    path = "/recommendations/c7?daytime_id=4"
    etag = served.client.get(path, headers=TOKEN).headers["ETag"]
    conditional = TOKEN | {"If-None-Match": etag}
    assert served.client.get(path, headers=conditional).status_code == 304
    assert run_inline(served.settings, "recommendations").run.mode == "full"
    assert served.client.get(path, headers=conditional).status_code == 200


def test_quality_is_told_in_words_and_figures(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    found = served.get("/recommendation_quality")
    methods = {each["method"]: each for each in found["methods"]}
    assert methods["personal"]["published"] and methods["personal"]["z"] > 2
    assert methods["personal"]["recall"] > methods["global"]["recall"] > 0
    assert "next visits the personal list of ten held an item that was ordered" in found["summary"][0]
    assert "does not say what people would have ordered" in found["summary"][-1]
    printed = CliRunner().invoke(cli, ["backtest", "--json"])
    assert printed.exit_code == 0 and json.loads(printed.stdout)["summary"] == found["summary"]


def test_segments_have_their_own_menus(served: Served) -> None:
    with psycopg.connect(served.url) as connection:
        row = connection.execute(
            "SELECT segment, count(*) FROM rfm_segments GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
        ).fetchone()
        assert row is not None
        segment = row[0]
        expected = connection.execute(
            "SELECT item_id, count(DISTINCT transaction_id) FROM fact_transactions JOIN rfm_segments USING (mobile_id)"
            " JOIN fact_transaction_items USING (transaction_id)"
            " WHERE segment = %s AND (created_at AT TIME ZONE 'UTC')::time BETWEEN '12:30' AND '14:29:59'"
            " AND item_id < %s GROUP BY 1 HAVING count(DISTINCT mobile_id) >= 5"
            " ORDER BY 2 DESC, count(DISTINCT mobile_id) DESC, 1 LIMIT 10",
            [segment, DISHES],
        ).fetchall()
    found = served.get(f"/menu_recommendations?segment={segment.lower()}&at=12:45")
    (daypart,) = found["dayparts"]
    assert [(item["menu_item_id"], item["orders"]) for item in daypart["items"]] == expected
    assert daypart["items"][0]["menu_item_name"].startswith("Dish ") and daypart["items"][0]["lift"] > 0
    unknown = served.client.get("/menu_recommendations?segment=Kings", headers=TOKEN)
    assert unknown.status_code == 422 and segment in unknown.get_json()["detail"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_everybodys_lists_go_into_a_file(served: Served, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"lists.{suffix}"
    done = CliRunner().invoke(cli, ["recommend", "--export", str(file), "--at", "12:45", "--json"])
    assert done.exit_code == 0, done.output
    rows = pd.read_csv(file) if suffix == "csv" else pd.read_parquet(file)
    assert json.loads(done.stdout)["rows"] == len(rows) == 10 * CUSTOMERS
    mine = rows[rows.mobile_id == "c7"].sort_values("rank")
    shown = served.get("/recommendations/c7?at=12:45")["items"]
    assert mine.item_id.tolist() == [item["item_id"] for item in shown]
    assert mine.reason.tolist() == [item["reason"]["kind"] for item in shown]
    printed = CliRunner().invoke(cli, ["recommend", "c7", "--at", "12:45"], env={"COLUMNS": "160"})
    assert "c7: personal list, Lunch" in printed.output and "ordered" in printed.output
