"""The programs that `smartcrm up` runs: webhook, worker, beat and Flower."""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from embedded.group import ProcessGroup
from embedded.ports import HOST
from errors import EmbeddedError
from settings import Settings


def start(group: ProcessGroup, settings: Settings, env: Mapping[str, str], log: Path | None = None) -> None:
    """Start the four programs; `settings` and `env` have the chosen ports."""
    celery = [sys.executable, "-m", "celery", "-A", "worker.app"]
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:webhook.server"]
    gunicorn += ["--bind", f"{HOST}:{settings.port}"]
    worker = [*celery, "worker", "--queues", "control,compute", "--hostname", "worker@%h", "--loglevel", "INFO"]
    flower = [*celery, "flower", f"--address={HOST}", f"--port={settings.flower_port}"]
    flower += ["--read_only=True", "--max_tasks=1000"]
    group.start("webhook", gunicorn, env, log)
    # Celery's soft shutdown: running tasks may finish; the others go back to the queue.
    group.start("worker", worker, {**env, "REMAP_SIGTERM": "SIGQUIT"}, log)
    group.start("beat", [*celery, "beat", "--loglevel", "INFO"], env, log)
    group.start("flower", flower, {**env, "FLOWER_BASIC_AUTH": f"smartcrm:{settings.flower_password}"}, log)


def accepts(url: str, authorization: str) -> bool:
    """Whether the server at the URL accepts this `Authorization`, so that it is ours and not another program."""
    request = urllib.request.Request(url, headers={"Authorization": authorization})  # noqa: S310  # our own http:// URLs
    try:
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310
    except OSError:
        return False
    return True


def wait_until_ready(group: ProcessGroup, probes: Mapping[str, Callable[[], bool]], seconds: float = 60) -> None:
    """Return once every probe has succeeded.

    Raises
    ------
    EmbeddedError
        Naming the programs that did not answer in time.
    """
    waiting = dict(probes)
    deadline = time.monotonic() + seconds
    while waiting:
        waiting = {name: probe for name, probe in waiting.items() if not probe()}
        group.watch()
        if waiting and time.monotonic() > deadline:
            raise EmbeddedError(f"Not ready after {seconds:.0f} s: {', '.join(sorted(waiting))}; its log says why.")
        time.sleep(0.1 if waiting else 0)
