"""The backtest: for each of four cuts, lists made from the visits before it are compared with the visits after it.

With more than 20,000 customers, those with the lowest hashes are used, and the same share of the guests' orders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from analytics.recommendations import gate
from analytics.recommendations.evaluation import Outcomes, fitted, next_visits, outcomes
from analytics.recommendations.gate import Quality
from analytics.recommendations.histories import Histories, together
from analytics.recommendations.parameters import Parameters
from kinds.base import Counts
from kinds.recommendations import encoding, staging, state, visits
from kinds.recommendations.models import StoredOutcomes
from kinds.recommendations.stored import as_bytes, from_bytes
from source.window import EPOCH, Plan
from store.models import Run

Whole = NDArray[np.int64]

SAMPLED = 20_000  # customers
QUANTILES = (0.6, 0.7, 0.8, 0.9)  # of the known customers' visits
NEVER = 1 << 62
MICROSECONDS = timedelta(microseconds=1)
MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class Sample:
    """Customers sorted by their hashes, and the guests' visits as those of one customer."""

    hashes: NDArray[np.uint64]
    histories: Histories
    guests: Histories


def sample(session: Session, run: Run, item_ids: Whole) -> Sample:
    """The customers of a run's backtest.

    Raises
    ------
    RowsLostError
        When some of the visits that were read are gone.
    """
    assert run.plan is not None
    found, hashes, count = [], [], 0
    for shard in range(run.plan["shards"]):
        names, histories = visits.decode(staging.load_visits(session, run, shard), item_ids)
        found.append(histories)
        hashes.append(encoding.hashes(names))
        count += len(names)
        if count > SAMPLED:
            break
    mine = np.concatenate(hashes)
    limit = np.sort(mine)[SAMPLED] if len(mine) > SAMPLED else None
    known = together(found)
    if limit is not None:
        known, mine = known.of_customers(mine < limit), mine[mine < limit]
    _, none = visits.decode([], item_ids)
    blocks = [none]
    for block in staging.each_block(session, run, visits.GUESTS):
        _, guests = visits.decode([block], item_ids)
        blocks.append(guests if limit is None else guests.of_visits(_mixed(guests.times) < limit))
    return Sample(mine, known, together(blocks))


def _mixed(times: Whole) -> NDArray[np.uint64]:
    """Hashes of these instants."""
    found = times.astype(np.uint64)
    for factor in MIX:
        found = (found ^ (found >> np.uint64(30))) * factor
    return found ^ (found >> np.uint64(31))


def cuts(times: Whole, plan: Plan) -> list[int]:
    """The instants at which the folds begin, and the end of the last: midnights."""
    found = []
    for quantile in QUANTILES:
        instant = int(np.sort(times)[int(quantile * (len(times) - 1))]) if len(times) else 0
        found.append(_day_start(instant, plan))
    return [*found, NEVER]


def _day_start(instant: int, plan: Plan) -> int:
    """The midnight before an instant, all in microseconds since 2000-01-01."""
    epoch, zone = datetime(EPOCH.year, 1, 1, tzinfo=UTC), ZoneInfo(plan["timezone"])
    day = (epoch + instant * MICROSECONDS).astimezone(zone).date()
    return (datetime.combine(day, time.min, zone).astimezone(UTC) - epoch) // MICROSECONDS


def judge(
    session: Session, run: Run, numbers: Sequence[int], items: Whole, contenders: Mapping[str, Parameters]
) -> Counts:
    """Evaluate these folds' lists and store the outcomes; returns the number of customers with two visits."""
    assert run.plan is not None
    judged = sample(session, run, items)
    mine = (StoredOutcomes.generation == run.generation) & StoredOutcomes.fold.in_(numbers)
    session.execute(delete(StoredOutcomes).where(mine))
    edges = cuts(judged.histories.times, run.plan)
    learners = int((judged.histories.visits >= 2).sum())
    for number in numbers if learners >= gate.LEAST_CUSTOMERS else []:
        found = _fold(judged, edges[number], edges[number + 1], contenders, items, state.dayparts(run.plan))
        session.add(StoredOutcomes(generation=run.generation, fold=number, data=found))
    session.flush()
    return {"backtest_learners": learners if 0 in numbers else 0}


def _fold(
    judged: Sample, start: int, until: int, contenders: Mapping[str, Parameters], items: Whole, dayparts: int
) -> bytes:
    target = next_visits(judged.histories, start, until)
    chosen = np.zeros(judged.histories.customers, dtype=bool)
    chosen[judged.histories.visitors[target]] = True
    before, guests = judged.histories.before(start), judged.guests.before(start)
    visits = judged.histories.of_visits(target).of_customers(chosen)
    arrays = {"customers": np.flatnonzero(chosen)}
    for name, parameters in contenders.items():
        fit, made = fitted(before, guests, parameters, items=len(items), dayparts=dayparts, item_ids=items)
        for method, found in outcomes(fit, made.of_customers(chosen), visits).items():
            prefix = name if method == "personal" else method
            arrays |= {f"{prefix}.{column}": values for column, values in vars(found).items()}
    return as_bytes(**arrays)


def folds(session: Session, run: Run) -> list[dict[str, Outcomes]]:
    """The outcomes of each fold, by contender and by method."""
    return [_outcomes(stored) for stored in _stored(session, run)]


def quality(session: Session, run: Run, chosen: str, learners: int, items: int) -> list[Quality]:
    """The methods' quality over all folds, and which of them the gate publishes.

    The personal method is the `chosen` contender's.
    """
    stored = _stored(session, run)
    found = [(outcome := _outcomes(each)) | {"personal": outcome[chosen]} for each in stored]
    return gate.quality(found, [each["customers"] for each in stored], learners=learners, items=items)


def _outcomes(stored: Mapping[str, NDArray[Any]]) -> dict[str, Outcomes]:
    names = {name.partition(".")[0] for name in stored if "." in name}
    columns = [field.name for field in fields(Outcomes)]
    return {name: Outcomes(**{column: stored[f"{name}.{column}"] for column in columns}) for name in names}


def _stored(session: Session, run: Run) -> list[dict[str, NDArray[Any]]]:
    query = select(StoredOutcomes).where(StoredOutcomes.generation == run.generation, StoredOutcomes.fold >= 0)
    return [from_bytes(each.data) for each in session.scalars(query.order_by(StoredOutcomes.fold))]
