"""The incremental run of recommendations: changed customers' profiles, and what they add to the tallies, in place.

It all happens in the transaction that publishes. A customer's old contribution is computed from the stored profile and
subtracted, and the new one is added; these are integers, so the result is exact. Customers who changed segment are
counted in the new one.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy.orm import Session

from analytics.recommendations.profiles import profiles
from analytics.recommendations.tallies import Tallies, tally
from kinds.base import Counts, Plan, summed
from kinds.recommendations import building, profile_rows, rows, staging, state, visits
from kinds.recommendations.models import StoredModel
from kinds.recommendations.profile_rows import Customers
from kinds.rfm import results as rfm
from settings import Settings
from source import orders, reading, touched
from source import visits as sold
from store import ledger, progress, publishing, runs
from store.database import driver
from store.models import Run
from store.parts import Claim

Whole = NDArray[np.int64]


def read(settings: Settings, claimed: Claim) -> Counts:
    """Store all visits of the touched customers, and count the orders of the touched business days."""
    session, run, part = claimed.session, claimed.run, claimed.part
    assert run.plan is not None
    times = visits.calendar(run.plan)
    with orders.snapshot(settings.source_database_url, run.plan) as crm:
        state.note_newest(session, crm, run, part)
        last, unchanged = run.plan["since"]["ledger"], run.plan["since"].get("unchanged")
        if unchanged is not None:
            _check_unchanged(crm, run.plan, ledger.digests(session, last))
        known = ledger.keys(session, last) if unchanged is None else []
        before = [key.removeprefix("c:") for key in known if key.startswith("c:")]
        customers = sorted({*touched.customers(crm, run.plan), *before})
        block = sold.of_customers(crm, run.plan, customers)
        counted = [visits.divide(day, times, 1)[0] for day in sold.of_touched_days(crm, run.plan)]
    _, shards = visits.divide(block, times, 1)
    staging.save_visits(session, run, part, 0, {0: shards[0]} if 0 in shards else {})
    staging.save_customers(session, run, customers)
    if counted:
        rows.save_orders(session, run, part, visits.total(counted))
    return {
        "transactions": len(block.ids),
        "skipped_transactions": block.skipped_transactions,
        "skipped_lines": block.skipped_lines,
        "stored_blocks": len(shards),
        "touched_customers": len(customers),
    }


def _check_unchanged(crm: reading.Connection, plan: Plan, digests: list[str] | None) -> None:
    """Check that no row has changed, and no business day was touched, since the run was planned, moments before.

    Raises
    ------
    UnavailableError
        If so; the run is planned again.
    """
    days = touched.day_buckets(crm, plan, [])
    same = touched.unchanged(crm, plan, digests, lines=True, guests=True)
    if same is None or not set(days) <= set(plan["day_buckets"]):
        raise touched.orders_changed()


def merge(session: Session, settings: Settings, run: Run) -> None:
    """Replace the touched customers' profiles and the touched days' orders, and make the model again."""
    assert run.plan is not None
    generation = run.plan["since"]["generation"]
    last = runs.published_run(session, run.kind)
    assert last.counts is not None
    stored = staging.load_visits(session, run, 0)
    codes = _coded(session, run, generation, stored)
    rows.move_orders(session, run.generation, generation, run.plan["day_buckets"])
    mobile_ids = staging.load_customers(session, run)
    names, segments, changed = last.counts["segment_names"], rfm.segment_numbers(session, mobile_ids), []
    before = profile_rows.load_profiles(session, generation, mobile_ids)
    found, histories = visits.decode(stored, codes)
    theirs = found.cast(pa.large_string()).to_pylist()
    mine = np.array([segments.get(each, 0) for each in theirs], dtype=np.int64)
    after = Customers(theirs, mine, profiles(histories, state.parameters(run)))
    changed += [(-1, _tallied(run, before, codes, names)), (1, _tallied(run, after, codes, names))]
    profile_rows.remove_profiles(session, generation, mobile_ids)
    profile_rows.save_profiles(session, generation, found, *after[1:])
    moved = {}
    if state.segments_read(session) != last.counts["segments_read"]:
        moved = rfm.other_segments(session, profile_rows.stored_segments(generation))
        others = profile_rows.load_profiles(session, generation, list(moved))
        now = np.array([moved[each] for each in others.mobile_ids], dtype=np.int64)
        changed += [
            (-1, _tallied(run, others, codes, names)),
            (1, _tallied(run, others._replace(segments=now), codes, names)),
        ]
        profile_rows.move_customers(session, generation, moved)
    tallies = rows.load_tallies(session, generation, rows.ALL).widened(len(codes)).plus(changed)
    rows.save_tallies(session, generation, rows.ALL, tallies)
    with reading.connect(settings.source_database_url) as crm:
        menu = state.names(crm, codes)
    picked = building.build(session, generation, run, tallies, menu, names)
    run.counts = summed(progress.parts(session, run, "read")) | {
        "changed_segment_rows": picked,
        "moved_customers": len(moved),
        "customers": last.counts["customers"] + len(after.mobile_ids) - len(before.mobile_ids),
        "segment_names": names,
        "segments_read": state.segments_read(session),
    }
    publishing.name_current(session, run, generation)


def forget(session: Session, kind: str, mobile_id: str) -> int:
    """Remove a customer's profiles, and its contribution to the published tallies and model."""
    removed = ledger.forget(session, kind, f"c:{mobile_id}")
    published = publishing.generation_of(session, kind)
    customer = None if published is None else profile_rows.load_profiles(session, published, [mobile_id])
    if customer is not None and customer.mobile_ids and published is not None:
        run = runs.published_run(session, kind)
        assert run.counts is not None
        codes, names = state.item_ids(session, published), run.counts["segment_names"]
        tallies = rows.load_tallies(session, published, rows.ALL).plus([(-1, _tallied(run, customer, codes, names))])
        rows.save_tallies(session, published, rows.ALL, tallies)
        building.build(session, published, run, tallies, building.names(session, published), names)
    query = sql.SQL("DELETE FROM recommendation_profiles WHERE mobile_id = %s")
    return removed + driver(session).execute(query, [mobile_id]).rowcount


def _coded(session: Session, run: Run, generation: int, stored: list[bytes]) -> Whole:
    """The generation's items by code; new ones that the run has read get the next codes, in order of their ids."""
    row = session.get_one(StoredModel, generation)
    known = set(row.item_ids)
    found = {item for item, _ in rows.item_orders(session, run.generation)} | set(visits.items_of(stored).tolist())
    row.item_ids = [*row.item_ids, *sorted(found - known)]
    session.flush()
    return state.item_ids(session, generation)


def _tallied(run: Run, customers: Customers, codes: Whole, segment_names: list[str]) -> Tallies:
    assert run.plan is not None
    return tally(
        customers.profiles,
        customers.segments,
        parameters=state.parameters(run),
        items=len(codes),
        dayparts=state.dayparts(run.plan),
        most_segments=len(segment_names) + 1,
    )
