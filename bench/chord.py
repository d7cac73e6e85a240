"""The reference for a refresh: a signed webhook that sends an empty Celery chord of one task, and its worker.

With our Celery settings, on the Redis of the measured system, in a queue of its own.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import requests
from celery import Celery, chord
from flask import Flask, Response, abort, jsonify, request
from kombu.entity import Queue

from embedded.group import ProcessGroup
from embedded.ports import HOST, choose_port
from settings import Settings
from signatures import signed_headers, verified_id

app = Celery("chord")
app.config_from_object("celeryconfig")
app.conf.update(
    include=[],
    task_queues=[Queue("empty")],  # type: ignore[no-untyped-call]
    task_default_queue="empty",
    beat_schedule={},
)


@app.task(name="bench.nothing")  # type: ignore[untyped-decorator]
def nothing(*_: object) -> None:
    """Do nothing, as the header's task and as the body."""


def create_app() -> Flask:
    """An application with one route that verifies a signature and sends a chord, and one that says if it is done."""
    served, settings = Flask(__name__), Settings.from_env()

    @served.post("/chords")
    def send() -> Response:
        if verified_id(settings.webhook_secrets, request.get_data(), dict(request.headers)) is None:
            abort(401)
        return jsonify(chord([nothing.s()])(nothing.s()).id)

    @served.get("/chords/<name>")
    def done(name: str) -> Response:
        return jsonify(app.AsyncResult(name).ready())

    return served


@contextmanager
def serving(settings: Settings, folder: Path) -> Iterator[Callable[[], float]]:
    """Start webhook and worker; yields a function that measures the seconds from a post until its chord's body ran."""
    port, programs = choose_port("PORT", 0), ProcessGroup()
    url = f"http://{HOST}:{port}/chords"
    command = [sys.executable, "-m", "gunicorn", "--config", "python:webhook.server", "--bind", f"{HOST}:{port}"]
    programs.start("webhook", [*command, "bench.chord:create_app()"], os.environ, folder / "chord.log")
    command = [sys.executable, "-m", "celery", "-A", "bench.chord", "worker", "--queues", "empty"]
    programs.start("worker", [*command, "--hostname", "chord@bench"], os.environ, folder / "chord.log")

    def measured() -> float:
        began = time.perf_counter()
        headers = signed_headers(settings.webhook_secrets, f"bench_{uuid4().hex}", datetime.now(UTC), "{}")
        name = requests.post(url, "{}", headers=headers, timeout=30).json()
        while not requests.get(f"{url}/{name}", timeout=30).json():
            time.sleep(0.005)
        return time.perf_counter() - began

    try:
        while True:
            try:
                measured()
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield measured
    finally:
        programs.stop()
