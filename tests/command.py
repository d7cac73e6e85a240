"""Running the `smartcrm` command in tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from cli.commands import cli

SMARTCRM = Path(sys.executable).with_name("smartcrm")


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return kept | {"SMARTCRM_HOME": str(home), "PORT": "0", "FLOWER_PORT": "0", "KINDS": "rfm menu"} | more


def smartcrm(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """One call of the command, in a process of its own that ends after two minutes at the latest."""
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        call = {"arguments": arguments, "env": environment(home, **env), "folder": str(Path.cwd()), "seconds": 120}
        status = _forks().call({**call, "out": out.name, "err": err.name})
        return subprocess.CompletedProcess([SMARTCRM, *arguments], status, out.read(), err.read())


def invoked(home: Path, *arguments: str, **env: str) -> Result:
    """One call in this process, which is much faster: for what a command prints, not for how it starts and ends."""
    assert env.keys() >= {"DATABASE_URL", "REDIS_URL"}, "the command would set the others for the tests that follow"
    return CliRunner().invoke(cli, arguments, env=environment(home, COLUMNS="200", **env))


class _Forks:
    """tests/forks.py, which ends with us."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", str(Path(__file__).with_name("forks.py"))]
        self._process = subprocess.Popen(
            command, cwd=Path(__file__).parent.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, call: Mapping[str, Any]) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(call), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


@cache
def _forks() -> _Forks:
    return _Forks()


@contextmanager
def serving(home: Path, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`smartcrm up`, with its output until it was ready."""
    process = subprocess.Popen(
        [SMARTCRM, "up"],
        env=environment(home, **env),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # A shell starts commands in the background with SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    reported = ""
    try:
        for line in process.stdout:
            reported += line
            if line.startswith("ready"):
                break
        assert "ready" in reported, reported
        yield process, reported
    finally:
        process.terminate()
        process.wait(40)
