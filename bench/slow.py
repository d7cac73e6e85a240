"""Signed imports beside 200 slow clients: the rate that is left of the undisturbed one.

python -m bench.slow [ROUNDS] [SECONDS]
"""

from __future__ import annotations

import json
import selectors
import socket
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime

import requests

from bench import door
from bench.load import RESULTS
from embedded.ports import HOST
from settings import Settings
from signatures import signed_headers

CLIENTS, SENDERS = 200, 8
BODY = json.dumps({"type": "import.completed"})
HALVES = ("X: ", "Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n100\r\n")


def drip(port: int) -> None:
    """Be the slow clients: a byte a second of a header or a body each; one that is ended comes back at once."""
    reading, started = selectors.DefaultSelector(), 0

    def start() -> None:
        nonlocal started
        client = socket.create_connection((HOST, port))
        client.sendall(f"POST /webhooks/imports HTTP/1.1\r\nHost: x\r\n{HALVES[started % 3]}".encode())
        reading.register(client, selectors.EVENT_READ)
        started += 1

    for _ in range(CLIENTS):
        start()
    print("ready", flush=True)
    while True:
        time.sleep(1)
        for key in list(reading.get_map().values()):
            client = key.fileobj
            assert isinstance(client, socket.socket)
            client.setblocking(False)
            try:
                client.send(b"x")
                ended = client.recv(1024) == b""
            except BlockingIOError:
                ended = False
            except OSError:
                ended = True
            if ended:
                reading.unregister(client)
                client.close()
                start()


@contextmanager
def slow_clients(port: int) -> Iterator[None]:
    """The slow clients in a process of their own, so that they take nothing from the senders'."""
    command = [sys.executable, "-m", "bench.slow", "drip", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.kill()


def imports_per_second(settings: Settings, seconds: float) -> float:
    """How many signed imports are accepted; each sender sends the next one when it has the answer to the last."""
    url, end = f"http://{HOST}:{settings.port}/webhooks/imports", time.monotonic() + seconds

    def send(_: int) -> int:
        accepted = 0
        with requests.Session() as session:
            while time.monotonic() < end:
                headers = signed_headers(settings.webhook_secrets, uuid.uuid4().hex, datetime.now(UTC), BODY)
                headers["Content-Type"] = "application/json"
                accepted += session.post(url, BODY, headers=headers, timeout=30).status_code == 202
        return accepted

    with ThreadPoolExecutor(SENDERS) as senders:
        return sum(senders.map(send, range(SENDERS))) / seconds


def main(rounds: int = 12, seconds: float = 4) -> None:
    """Print the rates in turn and their ratio, and keep them in bench/results/door."""
    with door.temporary_home() as home, door.system(home) as settings:
        imports_per_second(settings, seconds)
        alone: list[float] = []
        beside: list[float] = []
        for number in range(rounds):
            # Accepted imports become rows and runs: the later turn is slower, so the order alternates.
            for turn in (alone, beside) if number % 2 else (beside, alone):
                with slow_clients(settings.port) if turn is beside else nullcontext():
                    turn.append(imports_per_second(settings, seconds))
    result = {
        "slow clients": CLIENTS,
        "imports per second alone": [round(rate, 1) for rate in alone],
        "imports per second beside them": [round(rate, 1) for rate in beside],
        "median of the ratios": round(statistics.median(b / a for a, b in zip(alone, beside, strict=True)), 3),
        "ratio of the medians": round(statistics.median(beside) / statistics.median(alone), 3),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "slow.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["drip"]:
        drip(int(sys.argv[2]))
    else:
        main(*(int(argument) for argument in sys.argv[1:]))
