"""The HTTP API with generated requests: schemathesis by its OpenAPI document, and fuzzed signatures."""

from __future__ import annotations

import base64
import io
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from jsonschema_rs import Draft202012Validator
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from standardwebhooks import Webhook

from settings import Settings
from tests.builders import items, transactions
from tests.system import fill, make_settings, read, run_inline
from webhook.app import create_app

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
RUN_SHOWN = ("/runs/{run_id}", "200")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def settings(migrated_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in (("DATABASE_URL", migrated_url), ("REDIS_URL", redis_url)):
        monkeypatch.setenv(name, value)
    return make_settings(migrated_url, tmp_path, redis_url, WEBHOOK_SECRETS=SECRET, API_TOKENS="first-token")


@pytest.fixture
def app(settings: Settings) -> Flask:
    """The application on a published restaurant of five customers."""
    sold = [(number, f"c{number}", "5.00", NOON - timedelta(days=number)) for number in range(5)]
    fill(
        settings.database_url,
        {"fact_transactions": transactions(sold), "fact_transaction_items": items([(1, 1, 1, "2.00")])},
    )
    for kind in ("rfm", "menu"):
        run_inline(settings, kind, at=NOON)
    return create_app(settings)


class HonestSender:
    """The application behind a proxy that signs every import, as its sender would."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/webhooks/imports":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            webhook_id, now = f"msg_{random.randrange(50)}", datetime.now(UTC)
            environ["wsgi.input"] = io.BytesIO(body)
            environ["HTTP_WEBHOOK_ID"] = webhook_id
            environ["HTTP_WEBHOOK_TIMESTAMP"] = str(int(now.timestamp()))
            environ["HTTP_WEBHOOK_SIGNATURE"] = Webhook(SECRET).sign(webhook_id, now, body.decode("utf-8", "replace"))
        return self.app(environ, start_response)


def has_an_empty_value(url: str) -> bool:
    return any(value == "" for _, value in parse_qsl(urlsplit(url).query, keep_blank_values=True))


@pytest.mark.parametrize(
    ("mode", "examples"),
    [(GenerationMode.POSITIVE, 6), pytest.param(GenerationMode.NEGATIVE, 20, marks=pytest.mark.long)],
)
def test_every_answer_is_one_that_the_document_knows(app: Flask, mode: GenerationMode, examples: int) -> None:
    seen: set[tuple[str, int]] = set()
    for result in schemathesis.openapi.from_wsgi("/openapi.json", HonestSender(app)).get_all_operations():
        operation = result.ok()
        if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body or operation.path_parameters):
            continue

        @hypothesis_settings(
            max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,)
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Case) -> None:
            case.headers["Authorization"] = "Bearer first-token"
            response = case.call()
            seen.add((case.path, response.status_code))
            # The proxy signs over a header that was spoilt, so what was sent is not what is answered there. And what
            # is empty in a query is not given, whatever its type.
            spared = case.path == "/webhooks/imports" or has_an_empty_value(response.request.url)
            checks = CHECKS[:-1] if spared else CHECKS
            case.validate_response(response, checks=checks)

        check()
    answered_well = {path for path, status in seen if status < 300}
    if mode is GenerationMode.POSITIVE:
        assert answered_well >= {"/runs", "/webhooks/imports", "/rfm_segments", "/menu_recommendations", "/docs"}


SPOILT = {
    "webhook-id": ["", "m" * 300, "a\tb", "\xff", "msg 1", "'; DROP TABLE x", "0"],
    "webhook-timestamp": ["", "0", "-1", "nan", "inf", "1e400", "٣", "9" * 40, "1.5", " 1 ", "0x10", "\xff"],
    "webhook-signature": ["", ",", "v1", "v1,", ",v1", "v1,%", "v1,====", "v2,AAAA", "v1,\xff", "v1,AAAA " * 500, " "],
    "Content-Type": ["", "text/html", "application/json; charset=\xff", "multipart/form-data", ";;;", "a/b/c"],
    "Content-Encoding": ["gzip", "br", "x"],
    "Content-Length": ["", "-1", "99999999999", "abc"],
}
BODIES = [
    b"",
    b"{}",
    b"[",
    b"null",
    b"\xff\xfe",
    b"\x00",
    b'{"type":',
    b"[" * 20_000,
    b"9" * 5_000,
    b'"' * 3,
    b"{" * 100,
]


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_spoilt_messages_are_each_refused_politely(app: Flask, count: int) -> None:
    chance = random.Random(20260302)
    client = app.test_client()
    answers: dict[int, int] = {}
    for number in range(count):
        body = chance.choice([*BODIES, b'{"type":"import.completed"}', chance.randbytes(chance.randrange(200))])
        now = datetime.now(UTC)
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign("msg_1", now, body.decode("latin-1")),
            "Content-Type": "application/json",
        }
        for name in chance.sample(sorted(SPOILT), chance.randrange(1, 4)):
            value = chance.choice([*SPOILT[name], "".join(map(chr, chance.choices(range(1, 256), k=12)))])
            headers[name] = value.replace("\r", "").replace("\n", "")
        status = client.post("/webhooks/imports", data=body, headers=headers).status_code
        answers[status] = answers.get(status, 0) + 1
        assert status < 500, (number, body, headers)
    assert sum(answers.values()) == count and set(answers) <= {202, 400, 401, 413, 415, 422, 429}, answers
    assert answers.keys() >= {401, 415, 422, 429}


def test_the_document_has_headers_licence_and_outgoing_events(app: Flask, settings: Settings) -> None:
    document = app.test_client().get("/openapi.json").get_json()
    assert document["info"]["license"]["identifier"] == "Apache-2.0" and document["servers"] == [{"url": "/"}]
    for path, operations in document["paths"].items():
        for reported in operations.values():
            for status, answer in reported["responses"].items():
                assert answer["description"] and "\n" not in answer["description"]
                headers = answer.get("headers", {})
                assert ("Retry-After" in headers) == (status in ("429", "503") or (path, status) == RUN_SHOWN)
                assert ("ETag" in headers) == ("304" in reported["responses"] and status in ("200", "304"))
                assert ("Location" in headers) == (status == "202")
    made = replace(settings, event_urls=("http://127.0.0.1:1/",))
    assert run_inline(made, "rfm").run.status == "succeeded"
    body = read(settings.database_url, "SELECT body FROM analytics_events").body[0]
    schema = document["webhooks"]["run.finished"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**schema, "components": document["components"]})
    validator.validate(json.loads(body))
    assert not validator.is_valid({"type": "run.succeeded"})
