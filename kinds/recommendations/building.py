"""Making a generation's model and segment picks from its tallies, replacing earlier ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy.orm import Session

from analytics.recommendations import model as modelling
from analytics.recommendations.parameters import Parameters
from analytics.recommendations.segments import Pick, picks
from analytics.recommendations.tallies import Tallies
from kinds.recommendations import rows, state, stored
from kinds.recommendations.models import StoredModel
from kinds.recommendations.stored import Names
from store.database import driver
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
    # An item that nobody has ordered any more keeps its code until the next full run.
    available = np.array([item in menu for item in codes.tolist()], dtype=bool) & (orders.sum(axis=0) > 0)
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
    connection = driver(session)
    old = {
        (segment, daytime_id, rank): tuple(values)
        for segment, daytime_id, rank, *values in connection.execute(
            "SELECT segment, daytime_id, rank, menu_item_id, orders, share, lift FROM recommendation_segments"
            " WHERE generation = %s",
            [generation],
        )
    }
    now = {(segment_names[pick.segment - 1], ids[pick.daypart], pick.rank): pick[3:] for pick in found}
    gone = [key for key, values in old.items() if now.get(key) != values]
    written = [key for key, values in now.items() if old.get(key) != values]
    place = "generation = %s AND segment = %s AND daytime_id = %s AND rank = %s"
    names = "generation, segment, daytime_id, rank, menu_item_id, orders, share, lift, run_id, created_at"
    with connection.cursor() as cursor:
        query = f"DELETE FROM recommendation_segments WHERE {place}"  # noqa: S608  # our own names
        cursor.executemany(query, [(generation, *key) for key in gone])
        with cursor.copy(f"COPY recommendation_segments ({names}) FROM STDIN") as copy:
            for key in written:
                copy.write_row((generation, *key, *now[key], run.run_id, run.started_at))
    return len(old.keys() - now.keys()) + len(written)
