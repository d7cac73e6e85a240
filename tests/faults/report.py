"""Writes docs/faults.md: each injected fault, how the runs recovered and how fast, and what was lost."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAGE = """# Faults

Written by `make faults`. Each fault is injected into a whole system (webhook, worker with two processes, beat,
Flower, PostgreSQL, Redis) during an import's runs: at a random moment or at the named point; a test that misses its
point fails. Another import follows. Then every requested run has to be published, and both results are compared with
the oracle row by row. Two readers (READ COMMITTED, REPEATABLE READ) poll all the time and must see complete states
only. Seconds are from the end of the fault, or the server's return, to the publish of the runs that were in progress.
*Retry* is Celery's, *sweep* is beat's, and *by itself* means that neither was needed.

| fault | injected | times | runs in progress | recovered by | seconds: median | worst | lost |
|---|---|---|---|---|---|---|---|
{rows}

## Soak
{soak}

## Storage
{storage}
"""


def write(path: Path, records: Sequence[tuple[str, Any]]) -> None:
    """Write the page from what the tests recorded."""
    struck = Counter((name, point) for kind, each in records if kind == "struck" for name, point in [each])
    recovered = defaultdict(list)
    for kind, each in records:
        if kind == "recovered":
            name, point, *rest = each
            recovered[name, point].append(rest)
    rows = [_row(fault, times, recovered[fault]) for fault, times in struck.items()]
    soaks = [_soak(*each) for kind, each in records if kind == "soak"]
    stored = [_storage(*each) for kind, each in records if kind == "storage"]
    parts = {"rows": rows, "soak": soaks or ["Not run."], "storage": stored or ["Not run."]}
    path.write_text(PAGE.format(**{name: "\n".join(lines) for name, lines in parts.items()}))


def _row(fault: tuple[str, str], times: int, found: list[Any]) -> str:
    by = Counter(how for how, _, _ in found)
    seconds = [took for _, took, _ in found] or [float("nan")]
    in_progress = sum(hit for _, _, hit in found)
    ways = ", ".join(f"{how} {number}" for how, number in by.most_common())
    figures = f"{statistics.median(seconds):.1f} | {max(seconds):.1f} | {times - len(found)}"
    return f"| {fault[0]} | {fault[1] or 'at random'} | {times} | {in_progress} | {ways} | {figures} |"


def _soak(imports: int, struck: int, drained: float, grown: dict[str, tuple[float, float]]) -> str:
    memory = ", ".join(f"{name} {late / early:.2f}" for name, (early, late) in grown.items())
    return (
        f"{imports} imports over ten minutes, {struck} random faults: every request was covered, both results were"
        f" exact, no key was left in Redis, no table in PostgreSQL. The last run ended {drained:.1f} s after the last"
        f" import or fault. Memory of each program's longest-lived process, in the last quarter ÷ in the second:"
        f" {memory}."
    )


def _storage(runs: int, before: float, after: float) -> str:
    return (
        f"{runs:,} incremental runs, each after a changed order, and retention: at the end every table has as many rows"
        f" as after each earlier quarter, and the database has {after / before:.3f} of its size after the third."
    )
