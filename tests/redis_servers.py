"""Redis servers with other settings, users, certificates or roles than the session's."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from embedded.ports import choose_port
from tests.installed import program
from tests.system import wait_for


@contextmanager
def server(folder: Path, *settings: str, port: int | None = None, sentinel: bool = False) -> Iterator[int]:
    """Run a server with these lines in its configuration; yields its port."""
    port = port or choose_port("Redis", 0)
    home = folder / f"redis-{port}"
    home.mkdir(exist_ok=True)
    config = home / "redis.conf"
    if not config.exists():  # a sentinel writes its state to it
        lines = [f"dir {home}", "bind 127.0.0.1", *settings]
        lines += [] if any(line.startswith("tls-port") for line in settings) else [f"port {port}"]
        lines += [] if sentinel else ['save ""', "appendonly yes"]
        if "cluster-enabled yes" in settings:  # else it is the port and 10,000, which may be a client's
            lines.append(f"cluster-port {choose_port('Redis Cluster', 0)}")
        config.write_text("\n".join(line.replace("{port}", str(port)) for line in lines) + "\n")
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            [program("redis-sentinel" if sentinel else "redis-server"), str(config)], stdout=log, stderr=log
        )
    try:
        wait_for(lambda: process.poll() is not None or _listens(port), 20)
        assert process.poll() is None, (home / "log").read_text()
        yield port
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        process.wait(20)


def ask(port: int, *words: str, **options: Any) -> Any:
    """A server's answer to a command."""
    options = {"retry": Retry(NoBackoff(), 0), "decode_responses": True, **options}
    with redis.Redis(port=port, **options) as client:
        return client.execute_command(*words)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
