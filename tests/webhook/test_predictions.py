"""Predictions over HTTP and on the command line: pages, one customer, segments, and too little data."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from cli.commands import cli
from settings import Settings
from tests.kinds.predictions import shop
from tests.system import fill, make_settings, read, run_inline
from webhook.app import create_app

TOKEN = {"Authorization": "Bearer first-token"}


@dataclass
class Api:
    """A client with a token."""

    client: FlaskClient
    settings: Settings

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        answer = self.client.get(path, headers=TOKEN | headers)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer.get_json(force=True) if status != 304 else None


def opened(url: str, redis_url: str, home: Path, sold: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Api:
    fill(url, shop.tables(sold))
    settings = make_settings(url, home, redis_url, API_TOKENS="first-token")
    for name, value in (("DATABASE_URL", url), ("REDIS_URL", redis_url)):
        monkeypatch.setenv(name, value)
    for kind in ("rfm", "predictions"):
        assert run_inline(settings, kind, at=shop.TODAY).run.status == "succeeded"
    return Api(create_app(settings).test_client(), settings)


@pytest.fixture
def api(migrated_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    sold = shop.orders()
    sold["mobile_id"] = sold["mobile_id"].replace({"c0001": "summary", "c0002": "+44 / ä"})
    return opened(migrated_url, redis_url, tmp_path, sold, monkeypatch)


def test_filters_and_pages_show_what_is_stored(api: Api) -> None:
    table = read(api.settings.database_url, "SELECT * FROM customer_predictions ORDER BY mobile_id")
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/predictions?limit=100{cursor and f'&cursor={cursor}'}")
        seen += page["predictions"]
        cursor = page["next_cursor"]
    assert [row["mobile_id"] for row in seen] == table["mobile_id"].tolist()
    assert [row["p_order_90d"] for row in seen] == table["p_order_90d"].tolist()
    assert [row["expected_value_90d"] for row in seen] == [str(value) for value in table["expected_value_90d"]]

    def ids(query: str) -> list[str]:
        return [row["mobile_id"] for row in api.get(f"/predictions?limit=1000&{query}")["predictions"]]

    likely = (table["p_order_90d"] >= 0.5) & (table["p_order_90d"] <= 0.9)
    assert ids("min_p_order_90d=0.5&max_p_order_90d=0.9") == table["mobile_id"][likely].tolist()
    late = table["overdue_since"].notna()
    assert 0 < late.sum() < len(table)
    assert ids("overdue=true") == table["mobile_id"][late].tolist()
    assert ids("overdue=false") == table["mobile_id"][~late].tolist()
    champions = read(api.settings.database_url, "SELECT mobile_id FROM rfm_segments WHERE segment = 'Champions'")
    assert set(ids("segment=champions")) == set(champions["mobile_id"]) != set()
    assert api.get("/predictions?segment=nobody", 422)["error_code"] == "unknown_segment"
    assert api.get("/predictions?min_p_order_90d=2", 422)["status"] == 422


def test_one_customer_has_the_history_behind_it(api: Api) -> None:
    for path in ("/predictions/%2B44%20%2F%20%C3%A4", "/predictions?mobile_id=%2B44%20/%20%C3%A4"):
        found = api.get(path)
        history = read(
            api.settings.database_url, "SELECT x, t_x, t FROM prediction_results WHERE mobile_id = '+44 / ä'"
        ).iloc[0]
        assert found["history"] == {"x": history.x, "t_x": history.t_x, "T": history.t}
        assert found["segment"]
    assert api.get("/predictions?mobile_id=summary")["mobile_id"] == "summary"
    assert api.get("/predictions/nobody", 404)["error_code"] == "customer_not_found"


def test_a_summary_says_who_of_each_segment_is_due_and_how_the_last_month_went(api: Api) -> None:
    found = api.get("/predictions/summary")
    everybody, *segments = found["segments"]
    assert everybody["segment"] is None and everybody["customers"] == 320 == sum(row["customers"] for row in segments)
    assert everybody["overdue"] == sum(row["overdue"] for row in segments) > 0
    assert found["season_unknown"] is True
    assert 0.5 < found["last_month"]["predicted_to_actual"] < 2
    answer = api.client.get("/predictions/summary", headers=TOKEN)
    api.get("/predictions/summary", 304, **{"If-None-Match": answer.headers["ETag"]})
    run_inline(api.settings, "rfm", at=shop.TODAY)
    api.get("/predictions/summary", 200, **{"If-None-Match": answer.headers["ETag"]})


def test_metrics_and_models_show_drift(api: Api) -> None:
    text = api.client.get("/metrics", headers=TOKEN).get_data(as_text=True)
    values = {
        (sample.name, sample.labels.get("feature")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("kind") == "predictions"
    }
    (model,) = api.get("/models?kind=predictions")["models"]
    for feature, drift in model["metrics"]["drift"]["features"].items():
        assert values["smartcrm_model_drift", feature] == drift["psi"]
        assert values["smartcrm_model_drift_limit", feature] == drift["limit"]
    last = model["metrics"]["drift"]["last_month"]
    assert values["smartcrm_model_last_month_ratio", None] == last["predicted_to_actual"]
    assert values["smartcrm_model_version", None] == 1


def test_the_command_shows_the_same(api: Api, tmp_path: Path) -> None:
    summary = json.loads(CliRunner().invoke(cli, ["predictions", "--json"]).output)
    assert summary["segments"][0]["customers"] == 320
    assert "overdue" in CliRunner().invoke(cli, ["predictions"]).output.casefold()
    late = json.loads(CliRunner().invoke(cli, ["predictions", "--overdue", "--json"]).output)["predictions"]
    assert len(late) == summary["segments"][0]["overdue"]
    target = tmp_path / "predictions.csv"
    assert CliRunner().invoke(cli, ["predictions", "--export", str(target)]).exit_code == 0
    with target.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 320
    assert CliRunner().invoke(cli, ["predictions", "--segment", "nobody"]).exit_code != 0


def test_too_little_data_is_an_answer(
    migrated_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = opened(migrated_url, redis_url, tmp_path, shop.orders(customers=40), monkeypatch)
    for path in ("/predictions", "/predictions/summary", "/predictions/c0001", "/predictions?mobile_id=c0001"):
        found = api.get(path)
        assert found["status"] == "too_little_data"
        assert found["needs"] == {"customers": 200, "repeaters": 100, "days": 90}
        assert found["has"]["customers"] == 40
    assert "40 of 200 customers" in CliRunner().invoke(cli, ["predictions"]).output
