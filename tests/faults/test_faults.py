"""With every fault, each accepted request ends in a published run, exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.faults.plant import Plant
from tests.faults.strikes import FAULTS, Named, Strike


def helped(events: list[Mapping[str, Any]]) -> str:
    """How the runs recovered, by the programs' logs."""
    found = []
    if any("retry: Retry in" in str(event.get("event")) for event in events):
        found.append("retry")
    if any(event.get("task") == "smartcrm.sweep" and "run_id" in event for event in events):
        found.append("sweep")
    return " and ".join(found) or "by itself"


@pytest.mark.long
@pytest.mark.parametrize("named", FAULTS, ids=lambda named: " ".join(filter(None, (named.name, named.point))))
def test_fault(
    plant: Plant, named: Named, times: int, pause: float, record_property: Callable[[str, object], None]
) -> None:
    for _ in range(times):
        plant.ready()
        readers = list(plant.watched())
        logged, requested = plant.log.stat().st_size, len(plant.requested)
        strike = Strike(plant, pause)
        record_property("struck", (named.name, named.point))
        mode = named.mode or plant.chance.choice(("full", "incremental"))
        with named.fault(strike):
            plant.imports(*named.kinds, mode=mode)
        ended = strike.ended or time.monotonic()
        plant.finished(plant.requested[requested:])
        seconds = time.monotonic() - ended
        plant.imports(mode=mode)
        made = plant.requested[requested:]
        plant.finished(made)
        plant.check(made)
        plant.check_readers(readers)
        record_property(
            "recovered", (named.name, named.point, helped(plant.events(logged)), round(seconds, 1), strike.hit)
        )
