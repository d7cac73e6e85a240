"""State shared by the parts of a run: item codes, the calendar, and customers' segments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from analytics.recommendations.parameters import Parameters
from kinds.base import RowsLostError
from kinds.recommendations import rows, segments, staging
from kinds.recommendations.models import StoredModel
from kinds.recommendations.stored import Names
from kinds.rfm import results as rfm
from source import touched
from source.menu import read_menu
from source.reading import Connection
from store import ledger, progress
from store.models import Part, Run
from store.published import published

Whole = NDArray[np.int64]


def dayparts(plan: dict[str, Any]) -> int:
    """The number of dayparts, including the time between them."""
    return len(plan["dayparts"]) + 1


def parameters(run: Run) -> Parameters:
    """The parameters of the run's model."""
    assert run.plan is not None
    return Parameters.of(run.plan["parameters"])


def item_ids(session: Session, generation: int) -> Whole:
    """A generation's items, by their codes.

    Raises
    ------
    RowsLostError
        When the orders are being read again.
    """
    found = session.get(StoredModel, generation)
    if found is None:
        raise RowsLostError("The items have no codes.")
    return np.array(found.item_ids, dtype=np.int64)


def names(crm: Connection, codes: Whole) -> Names:
    """Name and category of these items, as far as the menu has them."""
    return {item: (row.name, row.category) for item, row in read_menu(crm, codes.tolist()).items()}


def code_items(session: Session, run: Run) -> None:
    """Assign the items' codes after all orders are read: the lowest to those with the most orders."""
    ids = [item for item, _ in rows.item_orders(session, run.generation)]
    session.merge(StoredModel(generation=run.generation, item_ids=ids))
    session.flush()


def read_again_if_lost(session: Session, run: Run) -> bool:
    """If a crash lost rows, have all orders read and everything computed again; returns whether it did."""
    if staging.is_whole(session, run):
        return False
    progress.reopen(session, run, dict.fromkeys(["read", "tune", "backtest", "profile"]))
    rows.start_again(session, run.generation)
    return True


def copy_segments(session: Session, run: Run) -> None:
    """Copy the published segment of every customer, so that all shards use the same state."""
    names, query = rfm.numbered_segments(session)
    blocks = [] if query is None else segments.blocks(session, run, query)
    copied = staging.save_segments(session, run, blocks)
    chosen = (run.counts or {}).get("chosen", "champion")
    run.counts = {
        "chosen": chosen,
        "segment_names": names,
        "segments_read": segments_read(session),
        "segment_blocks": copied,
    }
    session.flush()


def segments_read(session: Session) -> str | None:
    """The run that last wrote the published segments."""
    found = published(session, "rfm")
    return None if found is None else str(found.run.run_id)


def note_newest(session: Session, crm: Connection, run: Run, part: Part) -> None:
    """Store in the ledger which newest orders the part reads."""
    assert run.plan is not None
    ledger.save(session, run, part, crm.execute(touched.newest_orders(run.plan, part)).fetchone())
