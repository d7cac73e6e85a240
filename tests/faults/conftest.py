"""How often each fault strikes, the plant that they strike, and the table that tells of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.plant import Plant


@pytest.fixture(scope="session")
def plant() -> Iterator[Plant]:
    """One system for all faults: what one leaves behind, the next one finds."""
    with tempfile.TemporaryDirectory() as home, Plant(Path(home)) as running:
        yield running


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--times N`: every fault, N times; without it the short form, once each."""
    parser.addoption("--times", type=int, default=0)
    parser.addoption("--report", type=Path, default=None)


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """How often each fault strikes."""
    return int(request.config.getoption("--times")) or 1


@pytest.fixture
def pause(request: pytest.FixtureRequest) -> float:
    """Seconds that something stands still."""
    return 30.0 if request.config.getoption("--times") else 3.0


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each strike: what, recovered by what, in how many seconds, and whether runs were under way."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, told in report.user_properties:
                if name == "recovered":
                    terminalreporter.write_line(str(told))
