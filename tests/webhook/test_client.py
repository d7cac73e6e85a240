"""A client that is generated from the OpenAPI document sends a signed import and reads its results."""

from __future__ import annotations

import base64
import importlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from signatures import signed_headers
from tests.builders import plain_orders
from tests.system import Webhook, fill, finish_inline, make_settings

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def webhook(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[Webhook]:
    env = {"DATABASE_URL": migrated_url, "REDIS_URL": redis_url, "SMARTCRM_HOME": str(tmp_path / "home")}
    started = Webhook({**env, "WEBHOOK_SECRETS": SECRET, "API_TOKENS": "first-token"}, tmp_path / "webhook.log")
    started.start()
    yield started
    started.kill()


@pytest.fixture
def generated(webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a client's package, generated from the running server's document."""
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    command = [str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--meta", "none"]
    command += ["--url", f"{webhook.url}/openapi.json", "--output-path", str(tmp_path / "generated_client")]
    command += ["--config", str(tmp_path / "config.yml"), "--fail-on-warning"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "WARNING" not in done.stdout + done.stderr, done.stdout + done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    yield "generated_client"
    for name in [name for name in sys.modules if name.partition(".")[0] == "generated_client"]:
        del sys.modules[name]


@pytest.mark.long
def test_a_generated_client_sends_an_import_and_reads_what_came_of_it(
    webhook: Webhook, generated: str, migrated_url: str, tmp_path: Path
) -> None:
    fill(migrated_url, plain_orders(12))

    def module(name: str) -> Any:
        found: ModuleType = importlib.import_module(f"{generated}.{name}")
        return found

    models, now = module("models"), datetime.now(UTC)

    def sign(request: httpx.Request) -> None:
        if "webhook-id" in request.headers:
            request.headers.update(signed_headers([SECRET], "msg_1", now, request.content.decode()))

    client = module("client").AuthenticatedClient(
        webhook.url,
        token="first-token",
        httpx_args={"event_hooks": {"request": [sign]}},
        raise_on_unexpected_status=True,
    )
    data = models.ImportData.from_dict({"import_id": "42", "kinds": ["rfm"], "mode": "full"})
    event = models.ImportEvent(type_="import.completed", data=data)
    accepted = module("api.imports.imports_imports").sync_detailed(
        client=client, body=event, webhook_id="msg_1", webhook_timestamp=str(int(now.timestamp()))
    )
    assert accepted.status_code == 202, accepted.content
    assert accepted.headers["Location"] == "/runs?webhook_id=msg_1"
    (requested,) = accepted.parsed.runs
    assert finish_inline(make_settings(migrated_url, tmp_path), requested.run_id).run.status == "succeeded"
    run = module("api.runs.runs_one_run").sync(requested.run_id, client=client)
    assert (run.status, run.mode, run.progress) == ("succeeded", "full", 1)
    page = module("api.segments.segments_customers").sync_detailed(client=client, limit=5)
    assert page.headers["ETag"]
    assert [each.mobile_id for each in page.parsed.segments] == ["c1", "c10", "c11", "c12", "c2"]
    one = module("api.segments.segments_customers").sync(client=client, mobile_id="c7")
    assert (one.mobile_id, one.monetary, one.published_run_id) == ("c7", "70.00", requested.run_id)
    refused = module("api.segments.segments_one_customer").sync("nobody", client=client)
    assert (refused.status, refused.error_code) == (404, "customer_not_found")
