"""`smartcrm health`: fast, and one sentence if a part does not answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from embedded.ports import choose_port

SMARTCRM = Path(sys.executable).with_name("smartcrm")
HEAVY = {"alembic", "flask", "numpy", "pandas", "pyarrow", "sqlalchemy"}


def ask(part: str, home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SMARTCRM, "health", part], env={"SMARTCRM_HOME": str(home)} | env, capture_output=True, text=True
    )


@pytest.mark.parametrize("part", ["webhook", "worker", "beat", "flower"])
def test_a_part_that_is_not_there_is_one_sentence(part: str, redis_url: str, tmp_path: Path) -> None:
    port = str(choose_port("PORT", 0))
    urls = {"DATABASE_URL": "postgresql://none/", "REDIS_URL": redis_url}
    done = ask(part, tmp_path, PORT=port, FLOWER_PORT=port, **urls)
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("smartcrm: "), done.stderr
    assert "does not answer" in done.stderr or "did not answer" in done.stderr


def test_a_broker_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    port = choose_port("PORT", 0)
    done = ask("worker", tmp_path, DATABASE_URL="postgresql://none/", REDIS_URL=f"redis://127.0.0.1:{port}")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "Redis can't be reached" in done.stderr


@pytest.mark.parametrize("part", ["webhook", "worker"])
def test_it_loads_little(part: str, redis_url: str, tmp_path: Path) -> None:
    program = f"""
import sys
from cli.main import main
sys.argv = ["smartcrm", "health", "{part}"]
try:
    main()
except SystemExit:
    print(*sys.modules)
"""
    env = {"SMARTCRM_HOME": str(tmp_path), "DATABASE_URL": "postgresql://none/", "REDIS_URL": redis_url, "PORT": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert "cli.health" in done.stdout.split()
    assert not HEAVY & set(done.stdout.split())
