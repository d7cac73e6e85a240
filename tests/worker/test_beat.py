"""Beat as a process of its own: it ends when it is stopped, also in the middle of an answer from Redis."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from broker.address import PREFIX
from tests.faults.wire import Wire

# As redis-py writes it: the sweep's message, pushed onto its queue.
SENT = rb"LPUSH\r\n\$\d+\r\n" + re.escape(PREFIX.encode()) + rb"control\r\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_beat_ends_when_it_is_stopped_while_it_reads_an_answer(
    migrated_url: str, redis_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    wire = Wire(redis_url)
    trap = wire.trap(SENT)
    env = {"DATABASE_URL": migrated_url, "REDIS_URL": wire.url, "SMARTCRM_HOME": str(tmp_path / "home")}
    beat = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "worker.app", "beat", "--loglevel", "INFO"],
        env={**os.environ, **env},
        stderr=subprocess.DEVNULL,
    )
    try:
        trap.wait()
        beat.send_signal(number)
        trap.release()
        assert beat.wait(30) in (0, 1)  # 1 is Celery's for one that was stopped while it sent
    finally:
        beat.kill()
        beat.wait()
        wire.close()
