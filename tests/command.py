"""Running the `smartcrm` command in tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SMARTCRM = Path(sys.executable).with_name("smartcrm")


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return kept | {"SMARTCRM_HOME": str(home), "PORT": "0", "FLOWER_PORT": "0", "KINDS": "rfm menu"} | more


def smartcrm(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SMARTCRM, *arguments], env=environment(home, **env), capture_output=True, text=True, timeout=120
    )


@contextmanager
def serving(home: Path, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`smartcrm up`, with its output until it was ready."""
    process = subprocess.Popen(
        [SMARTCRM, "up"], env=environment(home, **env), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
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
