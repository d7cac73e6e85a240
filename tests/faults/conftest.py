"""Options and fixtures of the fault tests, and the report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import report
from tests.faults.plant import Plant
from tests.faults.strikes import Named


@pytest.fixture(scope="session")
def plant() -> Iterator[Plant]:
    """One system for all faults, which keeps its state from one to the next."""
    with tempfile.TemporaryDirectory() as home, Plant(Path(home)) as running:
        yield running


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """How often each fault is injected."""
    return int(request.config.getoption("--times")) or 1


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether this is the whole suite, not its short form."""
    return bool(request.config.getoption("--times"))


@pytest.fixture
def pause(long: bool) -> float:
    """The seconds for which a program is paused."""
    return 30.0 if long else 3.0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select the most important points for the short form."""
    if config.getoption("--times"):
        return
    kept = [item for item in items if not _is_long(item)]
    config.hook.pytest_deselected(items=[item for item in items if _is_long(item)])
    items[:] = kept


def _is_long(item: pytest.Item) -> bool:
    named = getattr(item, "callspec", None) and item.callspec.params.get("named")  # type: ignore[attr-defined]
    return isinstance(named, Named) and not named.short


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write the report, if a file was given."""
    path = terminalreporter.config.getoption("--report")
    if path is not None:
        records = [
            each.user_properties for kept in ("passed", "failed") for each in terminalreporter.stats.get(kept, ())
        ]
        report.write(path, [named for properties in records for named in properties])
