"""The system's own programs as `smartcrm up` runs them: webhook, worker, beat and Flower."""

from __future__ import annotations

import secrets
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from embedded.group import ProcessGroup
from errors import EmbeddedError
from settings import Settings

HOST = "127.0.0.1"
# Below the ports that the kernel gives to clients.
PORTS = range(20_000, 32_768)


# Ports that this process has chosen, each held by its UDP side until the process ends: programs listen on them later,
# and another `up` must not choose them meanwhile.
_chosen: list[socket.socket] = []


def choose_port(name: str, wanted: int) -> int:
    """The wanted port, or for 0 one that is free; no other process of ours chooses it as long as this one lives.

    Raises
    ------
    EmbeddedError
        When something listens on the wanted one already, or another `up` has chosen it.
    """
    if not wanted:
        while not _choose(port := secrets.choice(PORTS)):
            pass
        return port
    if not _choose(wanted):
        raise EmbeddedError(f"{name} {wanted} is in use by another program; set {name} to another, or to 0 for any.")
    return wanted


def _choose(port: int) -> bool:
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind((HOST, port))
            probe.bind((HOST, port))
        except OSError:
            held.close()
            return False
    _chosen.append(held)
    return True


def start(group: ProcessGroup, settings: Settings, env: Mapping[str, str], log: Path | None = None) -> None:
    """Start the four programs; `settings` and `env` name the ports chosen."""
    celery = [sys.executable, "-m", "celery", "-A", "worker.app"]
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:webhook.server"]
    gunicorn += ["--bind", f"{HOST}:{settings.port}"]
    worker = [*celery, "worker", "--queues", "control,compute", "--hostname", "worker@%h", "--loglevel", "INFO"]
    flower = [*celery, "flower", f"--address={HOST}", f"--port={settings.flower_port}"]
    flower += ["--read_only=True", "--max_tasks=1000"]
    group.start("webhook", gunicorn, env, log)
    # Celery's soft shutdown: what runs may finish, what can't is given back.
    group.start("worker", worker, {**env, "REMAP_SIGTERM": "SIGQUIT"}, log)
    group.start("beat", [*celery, "beat", "--loglevel", "INFO"], env, log)
    group.start("flower", flower, {**env, "FLOWER_BASIC_AUTH": f"smartcrm:{settings.flower_password}"}, log)


def welcomes(url: str, authorization: str) -> bool:
    """Whether what answers at the URL takes this `Authorization`: so it is ours, and not a stranger's on that port."""
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
