"""Accepted requests are durable: when the server is killed, every 202 has its runs, and no delivery has two sets."""

from __future__ import annotations

import base64
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from standardwebhooks import Webhook

from tests import system
from tests.system import read, wait_for

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
POSTS, KILLS = 100, 2


def post(server: system.Webhook, webhook_id: str) -> list[list[str]]:
    """Post an import until it is accepted, and once more; returns the run ids of every 202."""
    body, reported = json.dumps({"type": "import.completed"}), []
    while len(reported) < 2:
        now = datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(webhook_id, now, body),
        }
        try:
            answer = requests.post(f"{server.url}/webhooks/imports", body, headers=headers, timeout=5)
        except requests.RequestException:
            wait_for(server.answers)
            continue
        assert answer.status_code == 202, answer.text
        reported.append([run["run_id"] for run in answer.json()["runs"]])
    return reported


def test_every_202_has_its_runs_after_kills_at_random_moments(
    migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    env = {"DATABASE_URL": migrated_url, "REDIS_URL": redis_url, "KINDS": "rfm menu"}
    env |= {"SMARTCRM_HOME": str(tmp_path / "home")}
    server = system.Webhook({**env, "WEBHOOK_SECRETS": SECRET}, tmp_path / "webhook.log")
    server.start()
    chance, done = random.Random(1), threading.Event()

    def kill_now_and_then() -> int:
        kills = 0
        while kills < KILLS and not done.wait(chance.uniform(0.1, 0.7)):
            server.kill()
            kills += 1
            server.start()
        return kills

    try:
        with ThreadPoolExecutor(9) as threads:
            killer = threads.submit(kill_now_and_then)
            ids = [f"msg_{number}" for number in range(POSTS)]
            reported: dict[str, Any] = dict(zip(ids, threads.map(lambda each: post(server, each), ids), strict=True))
            done.set()
            assert killer.result() >= 1
    finally:
        server.kill()
    for line in (tmp_path / "webhook.log").read_text().splitlines():
        json.loads(line)
    stored = read(migrated_url, "SELECT delivery_id, run_ids FROM analytics_deliveries")
    kept = {row.delivery_id: [str(run_id) for run_id in row.run_ids] for row in stored.itertuples()}
    assert set(kept) == set(reported)
    assert all(answer == kept[webhook_id] for webhook_id, answers in reported.items() for answer in answers)
    runs = set(read(migrated_url, "SELECT run_id::text AS run_id FROM analytics_runs").run_id)
    assert {run_id for run_ids in kept.values() for run_id in run_ids} == runs and len(runs) == 2
