"""Imports and requests over HTTP: authorization, what is stored before the answer, and the answers; long, since all
errors of senders are one table.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid4

import psutil
import psycopg
import pytest
import requests
import standardwebhooks
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from werkzeug.test import TestResponse

from embedded import locks
from embedded.keeper import open_servers
from kinds import upkeep
from settings import Settings
from store import inbox, runs
from store.database import transaction
from store.schema import migrate
from tests.builders import plain_orders
from tests.system import Webhook, do_part, fill, make_settings, read, run_inline, wait_for
from webhook.app import create_app
from worker import steering

OLD, NEW = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


@pytest.fixture
def settings(migrated_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return make_settings(
        migrated_url,
        tmp_path,
        redis_url,
        KINDS="rfm menu",
        WEBHOOK_SECRETS=f"{OLD} {NEW}",
        API_TOKENS="first-token second-token",
    )


@pytest.fixture
def client(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    # The task message is sent with Celery's configuration, which reads the environment.
    for name, value in (("DATABASE_URL", settings.database_url), ("REDIS_URL", settings.redis_url)):
        monkeypatch.setenv(name, value)
    return create_app(settings).test_client()


def signed(
    client: FlaskClient, body: Any, *, secret: str = NEW, webhook_id: str = "msg_1", at: datetime | None = None
) -> TestResponse:
    text = body if isinstance(body, str) else json.dumps(body)
    at = at or datetime.now(UTC)
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(secret).sign(webhook_id, at, text),
    }
    return client.post("/webhooks/imports", data=text, headers=headers, content_type="application/json")


def token(value: str = "second-token") -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_an_import_signed_with_any_configured_secret_gets_its_runs(client: FlaskClient, secret: str) -> None:
    answer = signed(client, {"type": "import.completed"}, secret=secret)
    assert answer.status_code == 202 and answer.headers["Location"] == "/runs?webhook_id=msg_1"
    reported = answer.get_json()["runs"]
    assert [run["kind"] for run in reported] == ["rfm", "menu"]
    assert all(run["status"] == "pending" and run["url"] == f"/runs/{run['run_id']}" for run in reported)


def test_the_same_webhook_id_gives_the_same_runs_and_starts_nothing(client: FlaskClient, settings: Settings) -> None:
    first = signed(client, {"type": "import.completed", "data": {"kinds": ["menu"]}}).get_json()
    again = signed(client, {"type": "import.completed", "data": {"kinds": ["menu"]}}).get_json()
    assert first == again and len(first["runs"]) == 1
    assert read(settings.database_url, "SELECT count(*) AS n FROM analytics_runs").n[0] == 1


def test_the_runs_of_a_delivery_are_found_by_its_id(client: FlaskClient) -> None:
    requested = signed(client, {"type": "import.completed"}, webhook_id="msg_ä/&1".encode().decode("latin-1"))
    assert requested.status_code == 202
    listed = client.get(requested.headers["Location"], headers=token()).get_json()["runs"]
    assert {run["run_id"] for run in listed} == {run["run_id"] for run in requested.get_json()["runs"]}


@pytest.mark.parametrize(
    "spoil",
    [
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,!!!"},
        {"webhook-signature": "v1,AAAA v2,BBBB"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,\xff\xfe"},
        {"webhook-timestamp": "yesterday"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "99999999999999999999999999"},
        {"webhook-timestamp": str(int((datetime.now(UTC) - timedelta(minutes=6)).timestamp()))},
        {"webhook-timestamp": str(int((datetime.now(UTC) + timedelta(minutes=6)).timestamp()))},
        {"webhook-id": ""},
        {"webhook-id": "m" * 5000},
    ],
)
def test_a_message_that_nobody_signed_is_refused(
    client: FlaskClient, settings: Settings, spoil: dict[str, str]
) -> None:
    body, now = '{"type":"import.completed"}', datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(NEW).sign("msg_1", now, body),
    }
    answer = client.post("/webhooks/imports", data=body, headers={**headers, **spoil})
    assert answer.status_code == 401 and answer.content_type == "application/problem+json"
    assert answer.get_json(force=True)["error_code"] == "invalid_signature"
    assert read(settings.database_url, "SELECT count(*) AS n FROM analytics_deliveries").n[0] == 0


def test_another_secret_and_another_body_are_refused(client: FlaskClient) -> None:
    stranger = "whsec_" + base64.b64encode(b"stranger" * 4).decode()
    assert signed(client, {"type": "import.completed"}, secret=stranger).status_code == 401
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(NEW).sign("m", now, "{}"),
    }
    assert client.post("/webhooks/imports", data=b"\xff\xfe", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("not json", "JSON"),
        ("[]", "body"),
        ({}, "type"),
        ({"type": "order.created"}, "type"),
        ({"type": "import.completed", "data": {"kinds": []}}, "data.kinds"),
        ({"type": "import.completed", "data": {"kinds": ["rfm", "x"]}}, "data.kinds.1"),
        ({"type": "import.completed", "data": {"mode": "fast"}}, "data.mode"),
        ({"type": "import.completed", "data": {"transaction_ids": {"from": 1}}}, "data.transaction_ids.to"),
        ({"type": "import.completed", "data": {"transaction_ids": {"from": 2, "to": 1}}}, "from is greater than to"),
        ({"type": "import.completed", "data": {"transaction_ids": {"from": 1, "to": 2**63}}}, "transaction_ids.to"),
        ({"type": "import.completed", "data": {"import_id": "a\x00b"}}, "data.import_id"),
    ],
)
def test_an_invalid_signed_body_is_refused_with_its_place(client: FlaskClient, body: Any, named: str) -> None:
    answer = signed(client, body)
    reported = answer.get_json(force=True)
    assert answer.status_code == 422 and reported["error_code"] == "invalid_request" and named in reported["detail"]


def test_a_body_over_64_kilobytes_is_refused(client: FlaskClient) -> None:
    answer = client.post("/webhooks/imports", data=b"x" * (64 * 1024 + 1))
    assert answer.status_code == 413 and answer.content_type == "application/problem+json"


def test_a_run_shows_its_state_and_when_to_ask_again(client: FlaskClient, settings: Settings) -> None:
    run = signed(client, {"type": "import.completed", "data": {"kinds": ["rfm"]}}).get_json()["runs"][0]
    waiting = client.get(run["url"], headers=token())
    assert waiting.get_json()["status"] == "pending" and waiting.headers["Retry-After"] == "1"
    run_inline(settings, "rfm")
    ended = client.get(run["url"], headers=token())
    reported = ended.get_json()
    assert (reported["status"], reported["error_code"], reported["progress"]) == ("failed", "source_table_missing", 0)
    assert "fact_transactions" in reported["error"] and "Retry-After" not in ended.headers


@pytest.mark.parametrize("headers", [{}, token("third-token"), {"Authorization": "Basic second-token"}, token("")])
def test_runs_are_shown_to_bearers_of_a_token_alone(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.get("/runs", headers=headers)
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("value", ["first-token", "second-token"])
def test_any_configured_token_opens_the_runs(client: FlaskClient, value: str) -> None:
    assert client.get("/runs", headers=token(value)).get_json() == {"runs": []}


def test_what_is_not_there_is_a_problem_document(client: FlaskClient) -> None:
    for path in ("/nowhere", "/runs/8b4d7b3e-0000-0000-0000-000000000000", "/runs/1"):
        answer = client.get(path, headers=token())
        assert answer.status_code == 404 and answer.content_type == "application/problem+json"
    assert client.delete("/healthz").status_code == 405
    assert client.get("/healthz").get_json() == {"status": "ok"}


def test_an_import_is_accepted_while_redis_is_away(
    client: FlaskClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from webhook import sending

    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    sending._celery.cache_clear()
    monkeypatch.delitem(__import__("sys").modules, "celeryconfig", raising=False)
    try:
        answer = signed(client, {"type": "import.completed"}, webhook_id="while-away")
    finally:
        sending._celery.cache_clear()
        monkeypatch.delitem(__import__("sys").modules, "celeryconfig", raising=False)
    assert answer.status_code == 202
    assert read(settings.database_url, "SELECT count(*) AS n FROM analytics_runs").n[0] == 2


def test_null_members_are_as_good_as_absent(client: FlaskClient, settings: Settings) -> None:
    body = {"type": "import.completed", "timestamp": None, "data": {"kinds": None, "mode": None, "import_id": 7}}
    assert [run["kind"] for run in signed(client, body).get_json()["runs"]] == ["rfm", "menu"]
    assert set(read(settings.database_url, "SELECT mode FROM analytics_runs")["mode"]) == {"incremental"}


@pytest.mark.parametrize("kept", ["2026-03-02T12:00:00Z", 1_772_452_800, 1_772_452_800.25, 10**30 + 1, True, False])
def test_what_is_only_kept_may_be_any_scalar_and_stays_it(
    client: FlaskClient, settings: Settings, kept: object
) -> None:
    body = {"type": "import.completed", "timestamp": kept, "data": {"import_id": kept}}
    assert signed(client, body).status_code == 202
    found = read(settings.database_url, "SELECT body FROM analytics_deliveries").body[0]
    assert repr((found["timestamp"], found["data"]["import_id"])) == repr((kept, kept))


def test_another_content_type_is_refused_once_the_signature_holds(client: FlaskClient) -> None:
    body, now = '{"type":"import.completed"}', datetime.now(UTC)
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(NEW).sign("m", now, body),
    }
    refused = client.post("/webhooks/imports", data=body, headers=headers, content_type="text/xml")
    assert (refused.status_code, refused.get_json(force=True)["error_code"]) == (415, "unsupported_media_type")
    assert client.post("/webhooks/imports", data=body, headers=headers).status_code == 202


def test_named_transaction_ids_reach_the_run_also_when_deliveries_share_it(
    client: FlaskClient, settings: Settings
) -> None:
    for number, (first, last) in enumerate([(10, 20), (5, 12), (100, 100)]):
        body = {"type": "import.completed", "data": {"transaction_ids": {"from": first, "to": last}}}
        assert signed(client, body, webhook_id=f"msg_{number}").status_code == 202
    named = read(settings.database_url, "SELECT named_ids FROM analytics_runs").named_ids.tolist()
    assert named == [[[5, 20], [100, 100]]] * 2


def test_an_address_that_fails_often_has_to_wait_and_a_signed_message_never(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [client.get("/runs", headers=token("wrong-token")) for _ in range(70)]
    assert [answer.status_code for answer in answers[:60]] == [401] * 60
    assert answers[-1].status_code == 429 and answers[-1].headers["Retry-After"] == "60"
    assert client.post("/webhooks/imports", data=b"{}").status_code == 429
    assert client.get("/runs", headers=token()).status_code == 200
    assert signed(client, {"type": "import.completed"}).status_code == 202


def test_failures_are_not_held_against_anybody_while_redis_is_away(migrated_url: str, tmp_path: Path) -> None:
    settings = make_settings(
        migrated_url, tmp_path, "redis://127.0.0.1:1/0", KINDS="rfm menu", API_TOKENS="first-token"
    )
    client = create_app(settings).test_client()
    assert {client.get("/runs", headers=token("wrong-token")).status_code for _ in range(70)} == {401}


def test_without_postgres_nothing_is_accepted_and_the_answer_says_when_to_retry(tmp_path: Path, redis_url: str) -> None:
    with open_servers(tmp_path / "own", database=True, redis=False) as urls:
        migrate(urls["DATABASE_URL"])
        settings = make_settings(
            urls["DATABASE_URL"], tmp_path, redis_url, KINDS="rfm menu", WEBHOOK_SECRETS=NEW, API_TOKENS="a-token-1"
        )
        client = create_app(settings).test_client()
        assert client.get("/runs", headers=token("a-token-1")).status_code == 200
    wait_for(lambda: not locks.held(tmp_path / "own" / "keeper.lock"))
    for answer in (signed(client, {"type": "import.completed"}), client.get("/runs", headers=token("a-token-1"))):
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "5"
        assert answer.get_json(force=True)["error_code"] == "database_unavailable"
    assert client.get("/healthz").status_code == 200
    away = client.get("/readyz")
    assert (away.status_code, away.get_json()) == (
        503,
        {"status": "unavailable", "database": "down", "source": "down", "redis": "ok"},
    )


def test_deliveries_are_counted_by_outcome_and_retention_lowers_no_count(
    client: FlaskClient, settings: Settings
) -> None:
    def counted() -> dict[str, float]:
        answer = client.get("/metrics", headers=token()).get_data(as_text=True)
        families = {family.name: family for family in text_string_to_metric_families(answer)}
        return {sample.labels["outcome"]: sample.value for sample in families["smartcrm_deliveries"].samples}

    assert counted() == {"accepted": 0}
    for webhook_id in ("msg_1", "msg_2", "msg_1"):
        signed(client, {"type": "import.completed"}, webhook_id=webhook_id)
    signed(client, {"type": "import.completed", "data": {"kinds": "rfm"}}, webhook_id="msg_3")
    for _ in range(2):
        client.post("/webhooks/imports", data=b"{}")
    expected = {"accepted": 2, "repeated": 1, "invalid_request": 1, "invalid_signature": 2}
    assert counted() == expected
    with transaction(settings.database_url) as session:
        session.execute(text("UPDATE analytics_deliveries SET received_at = '2020-01-01' WHERE delivery_id = 'msg_1'"))
        upkeep.drop_old(session)
    assert len(read(settings.database_url, "SELECT delivery_id FROM analytics_deliveries")) == 1
    assert counted() == expected


def test_readiness_reports_which_part_is_down(migrated_url: str, redis_url: str, tmp_path: Path) -> None:
    def reported(redis: str, **env: str) -> tuple[int, Any]:
        answer = create_app(make_settings(migrated_url, tmp_path, redis, **env)).test_client().get("/readyz")
        return answer.status_code, answer.get_json()

    assert reported(redis_url) == (200, {"status": "ready", "database": "ok", "source": "ok", "redis": "ok"})
    away = {"SOURCE_DATABASE_URL": "postgresql://127.0.0.1:1/crm"}
    assert reported("redis://127.0.0.1:1/0", **away) == (
        200,
        {"status": "degraded", "database": "ok", "source": "down", "redis": "down"},
    )


def test_a_webhook_id_can_not_stand_for_what_is_ours(client: FlaskClient, settings: Settings) -> None:
    stranger = {}
    for name in ("nightly 2026-11-26", "2026-11-26"):
        answer = signed(client, {"type": "import.completed", "data": {"kinds": ["menu"]}}, webhook_id=name)
        stranger[name] = answer.get_json()["runs"][0]["run_id"]
    requested = inbox.deliver(settings.database_url, "nightly", "2026-11-26", {}, ["rfm", "menu"], "full")
    assert [run.kind for run in requested] == ["rfm", "menu"] and requested[0].mode == "full"
    for name, run_id in stranger.items():
        listed = client.get("/runs", query_string={"webhook_id": name}, headers=token()).get_json()["runs"]
        assert [run["run_id"] for run in listed] == [run_id]


def test_too_many_runs_with_an_as_of_are_refused(client: FlaskClient) -> None:
    def ask() -> TestResponse:
        return client.post("/runs", json={"kinds": ["menu"], "as_of": "2026-03-02"}, headers=token())

    assert {ask().status_code for _ in range(inbox.AS_OF_WAITING)} == {202}
    refused = ask()
    assert refused.status_code == 429 and refused.get_json()["error_code"] == "too_many_waiting"
    assert int(refused.headers["Retry-After"]) > 0
    assert client.post("/runs", json={"kinds": ["menu"]}, headers=token()).status_code == 202


def test_a_run_that_waits_or_works_can_be_cancelled_and_no_other(client: FlaskClient, settings: Settings) -> None:
    fill(settings.database_url, plain_orders())
    waiting = client.post("/runs", json={"kinds": ["menu"]}, headers=token()).get_json()["runs"][0]
    working = client.post("/runs", json={"kinds": ["rfm"]}, headers=token()).get_json()["runs"][0]
    parts = steering.advance(settings, UUID(working["run_id"]))
    for run in (waiting, working):
        cancelled = client.post(f"{run['url']}/cancel", headers=token())
        assert cancelled.status_code == 200 and cancelled.get_json()["status"] == "cancelled"
        assert client.get(run["url"], headers=token()).get_json()["status"] == "cancelled"
        again = client.post(f"{run['url']}/cancel", headers=token())
        assert again.status_code == 409 and again.get_json()["error_code"] == "run_finished"
    for stage, part in parts:
        do_part(settings, UUID(working["run_id"]), stage, part)
    assert steering.advance(settings, UUID(working["run_id"])) == []
    assert client.get("/rfm_segments", headers=token()).status_code == 404  # nothing was published
    unknown = client.post(f"/runs/{uuid4()}/cancel", headers=token())
    assert unknown.status_code == 404 and unknown.get_json()["error_code"] == "run_not_found"
    assert client.post(f"{waiting['url']}/cancel").status_code == 401


def test_a_run_whose_step_takes_long_is_cancelled_later(client: FlaskClient, settings: Settings) -> None:
    requested = client.post("/runs", json={"kinds": ["menu"]}, headers=token()).get_json()["runs"][0]
    with transaction(settings.database_url) as session:
        runs.lock(session, UUID(requested["run_id"]))
        busy = client.post(f"{requested['url']}/cancel", headers=token())
        assert busy.status_code == 503 and busy.get_json()["error_code"] == "run_busy" and busy.headers["Retry-After"]
    assert client.post(f"{requested['url']}/cancel", headers=token()).status_code == 200


def test_it_starts_without_postgres_or_its_tables_and_serves_once_they_are_there(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """The socket's folder is a link that leads nowhere at first."""
    folder = tmp_path / "postgres"
    sockets = database_url.split("host=")[1].split("&")[0]
    env = {"DATABASE_URL": database_url.replace(sockets, str(folder)), "REDIS_URL": redis_url}
    env |= {"SMARTCRM_HOME": str(tmp_path), "WEBHOOK_SECRETS": NEW, "API_TOKENS": "first-token"}
    webhook = Webhook(env, tmp_path / "webhook.log")
    webhook.start()

    def ask() -> tuple[int, str, str | None]:
        answer = requests.post(f"{webhook.url}/runs", headers=token("first-token"), timeout=30)
        reported = answer.json()
        if answer.status_code == 503:
            assert answer.headers["Content-Type"] == "application/problem+json" and str(folder) not in answer.text
        return answer.status_code, reported.get("error_code", ""), answer.headers.get("Retry-After")

    def started() -> int:
        return webhook.log.read_text().count('"started, answers 503 for now"')

    try:
        wait_for(lambda: started() == 2)
        assert ask() == (503, "database_unavailable", "5")
        assert requests.get(f"{webhook.url}/readyz", timeout=30).json()["database"] == "down"
        assert requests.get(f"{webhook.url}/openapi.json", timeout=30).ok
        folder.symlink_to(unquote(sockets))
        assert ask() == (503, "schema_outdated", "5")
        psutil.Process(webhook.process.pid).children()[0].kill()
        wait_for(lambda: started() == 3)  # the next one finds tables without a version, and stays
        assert ask() == (503, "schema_outdated", "5")
        migrate(database_url)
        assert webhook.process.poll() is None
        assert {ask() for _ in range(8)} == {(202, "", None)}  # both processes
    finally:
        webhook.kill()


def test_a_token_that_only_reads_asks_for_nothing(migrated_url: str, redis_url: str, tmp_path: Path) -> None:
    settings = make_settings(
        migrated_url, tmp_path, redis_url, KINDS="rfm menu", API_TOKENS="first-token second-token:read"
    )
    client = create_app(settings).test_client()
    reads = {"Authorization": "Bearer second-token"}
    assert client.get("/runs", headers=reads).status_code == 200
    for call in ("/runs", f"/runs/{UUID(int=1)}/cancel"):
        refused = client.post(call, json={}, headers=reads)
        assert (refused.status_code, refused.get_json()["error_code"]) == (403, "read_only_token")
    assert client.get("/runs", headers={"Authorization": "Bearer second-token:read"}).status_code == 401
    with psycopg.connect(migrated_url) as connection:
        assert connection.execute("SELECT count(*) FROM analytics_runs").fetchone() == (0,)
