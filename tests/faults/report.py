"""docs/faults.md: what was struck how often, what brought the runs on, how long it took, and what was lost."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAGE = """# Faults

Made by `make faults`. Each strike hits a whole system (webhook, worker with two processes, beat, Flower, PostgreSQL,
Redis) in which an import's runs are under way: at a random moment, or at the named point, where a strike that does not
hit its point fails. Another import follows; then every run that was asked for has to be published, both results are
held row for row against the oracle, and two readers (READ COMMITTED, REPEATABLE READ) that polled all the while
must have seen whole states only. Seconds run from the end of the fault, or the server's return, to the publish of what
was under way. *Retry* is Celery's own, *sweep* is beat's, and *by itself* says that neither was needed.

| fault | struck | times | runs under way | recovered by | seconds: median | worst | lost |
|---|---|---|---|---|---|---|---|
{rows}

## Soak
{soak}

## Storage
{storage}
"""


def write(path: Path, told: Sequence[tuple[str, Any]]) -> None:
    """Write the page from what the tests recorded."""
    struck = Counter((name, point) for kind, each in told if kind == "struck" for name, point in [each])
    recovered = defaultdict(list)
    for kind, each in told:
        if kind == "recovered":
            name, point, *rest = each
            recovered[name, point].append(rest)
    rows = [_row(fault, times, recovered[fault]) for fault, times in struck.items()]
    soaks = [_soak(*each) for kind, each in told if kind == "soak"]
    stored = [_storage(*each) for kind, each in told if kind == "storage"]
    parts = {"rows": rows, "soak": soaks or ["Not run."], "storage": stored or ["Not run."]}
    path.write_text(PAGE.format(**{name: "\n".join(lines) for name, lines in parts.items()}))


def _row(fault: tuple[str, str], times: int, found: list[Any]) -> str:
    by = Counter(how for how, _, _ in found)
    seconds = [took for _, took, _ in found] or [float("nan")]
    under_way = sum(hit for _, _, hit in found)
    told = ", ".join(f"{how} {number}" for how, number in by.most_common())
    figures = f"{statistics.median(seconds):.1f} | {max(seconds):.1f} | {times - len(found)}"
    return f"| {fault[0]} | {fault[1] or 'at random'} | {times} | {under_way} | {told} | {figures} |"


def _soak(imports: int, struck: int, drained: float, grown: dict[str, tuple[float, float]]) -> str:
    memory = ", ".join(f"{name} {late / early:.2f}" for name, (early, late) in grown.items())
    return (
        f"{imports} imports over ten minutes, {struck} random faults: every request covered, both results exact, no"
        f" key left in Redis, no table left in PostgreSQL. The last run ended {drained:.1f} s after the last import or"
        f" fault. Memory of each program's longest-lived process, its last quarter in terms of its second: {memory}."
    )


def _storage(runs: int, half: float, whole: float) -> str:
    return (
        f"{runs:,} incremental runs, each after a changed order: after them and their retention as many rows in every"
        f" table as after the first half, and {whole / half:.3f} of the database's size then."
    )
