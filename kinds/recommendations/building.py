"""Making a generation's model and segment picks from its tallies, replacing earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.recommendations import model as modelling
from analytics.recommendations.parameters import Parameters
from analytics.recommendations.segments import Pick, picks
from analytics.recommendations.tallies import Tallies
from kinds.recommendations import rows, state, stored
from kinds.recommendations.models import SegmentPick, StoredModel
from kinds.recommendations.stored import Names
from store.models import Run


def build(
    session: Session, generation: int, run: Run, tallies: Tallies, menu: Names, segment_names: Sequence[str]
) -> int:
    """Store the model and the segment picks of these tallies; returns how many picks changed.

    `run` writes them; `menu` has the items that may be recommended.
    """
    assert run.plan is not None
    codes = state.item_ids(session, generation)
    orders, transactions = rows.daypart_orders(session, generation, codes, state.dayparts(run.plan))
    available = np.array([item in menu for item in codes.tolist()], dtype=bool)
    made = modelling.model(
        tallies,
        orders,
        transactions,
        item_ids=codes,
        available=available,
        parameters=Parameters.of(run.plan["parameters"]),
    )
    row = session.get_one(StoredModel, generation)
    row.parameters, row.data = run.plan["parameters"], stored.model_bytes(made, menu)
    best = picks(tallies, codes, available, run.plan["top_n"])
    changed = _save_picks(session, generation, run, list(best), segment_names)
    session.flush()
    return changed


def names(session: Session, generation: int) -> Names:
    """The item names in a generation's model."""
    return stored.load(session, generation).names


def _save_picks(
    session: Session, generation: int, run: Run, found: Sequence[Pick], segment_names: Sequence[str]
) -> int:
    """Write the picks that differ from the generation's; returns how many."""
    assert run.plan is not None and run.started_at is not None
    ids = [daypart["daytime_id"] for daypart in run.plan["dayparts"]]
    old = {_place(row): row for row in session.scalars(select(SegmentPick).where(SegmentPick.generation == generation))}
    changed = 0
    for pick in found:
        row = _row(pick, generation, segment_names[pick.segment - 1], ids[pick.daypart], run.run_id, run.started_at)
        before = old.pop(_place(row), None)
        if before is None:
            session.add(row)
        elif _values(before) != _values(row):
            for column in ("menu_item_id", "orders", "share", "lift", "run_id", "created_at"):
                setattr(before, column, getattr(row, column))
        else:
            continue
        changed += 1
    for gone in old.values():
        session.delete(gone)
    return changed + len(old)


def _row(pick: Pick, generation: int, segment: str, daytime_id: int, run_id: UUID, at: datetime) -> SegmentPick:
    return SegmentPick(
        generation=generation,
        segment=segment,
        daytime_id=daytime_id,
        rank=pick.rank,
        menu_item_id=pick.item_id,
        orders=pick.orders,
        share=pick.share,
        lift=pick.lift,
        run_id=run_id,
        created_at=at,
    )


def _place(row: SegmentPick) -> tuple[str, int, int]:
    return row.segment, row.daytime_id, row.rank


def _values(row: SegmentPick) -> tuple[int, int, float, float]:
    return row.menu_item_id, row.orders, row.share, row.lift
