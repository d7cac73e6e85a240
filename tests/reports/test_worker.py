"""The morning mail by real workers and beats: two of each, and a worker that is killed while the server receives."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.reports.postbox import postbox
from tests.reports.test_mail import Shop
from tests.system import Workers, read, wait_for


@pytest.mark.long
def test_two_beats_and_a_killed_worker_send_one_mail(
    workers: Workers, migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    with postbox() as box:
        shop = Shop(migrated_url, redis_url, tmp_path / "shop", box)
        shop.night()
        given = {"KINDS": "rfm trends", "TIMEZONE": "UTC", "REPORT_TO": "owner@cafe.example"}
        given["REPORT_SMTP_URL"] = f"smtp://127.0.0.1:{box.port}"
        box.closed.set()
        workers.start(processes=2, beat=True, **given)
        assert box.arrived.wait(60)
        (killed,) = workers.processes
        os.killpg(killed.pid, signal.SIGKILL)  # with its pool and beat
        killed.wait()
        box.closed.clear()
        assert shop.mail().state == "waiting" and not shop.is_due() and box.mails == []

        for _ in range(2):
            workers.start(processes=2, beat=True, **given)
        shop.wait()
        wait_for(lambda: shop.mail().state == "sent")
        ((to, message),) = box.mails
        assert to == ("owner@cafe.example",) and str(shop.mail().mail_id) in message["Message-ID"]
        before = sweeps(migrated_url)
        wait_for(lambda: sweeps(migrated_url) > before + 2)
        assert len(box.mails) == 1 and shop.mail().attempts == 2


def sweeps(url: str) -> float:
    return float(read(url, "SELECT value FROM analytics_totals WHERE name = 'sweeps'")["value"].sum())
