"""An incremental run's last step: what was touched is merged into the published state, and becomes current.

In the transaction that publishes, after the run's one part has stored what it read.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql
from sqlalchemy.orm import Session

import store.rfm
from analytics.menu import rank_items
from analytics.scores import MEASURES, cut_points, passed_expression, quantile_ranks
from settings import Settings
from store import menu_merge, publishing, rfm_merge, runs
from store.models import Run
from worker.stages import item_names, rules


def exact_cut_points(
    session: Session, customers: sql.Composable, expected: int, measures: Sequence[str] = MEASURES
) -> tuple[int, dict[str, list[int]]]:
    """How many customers a query has, and the cut points (in fifths) over them; none where there is nobody.

    `expected` saves a count: where there are as many, as is usual, the first reading is the last.
    """
    while expected:
        count, found = store.rfm.order_statistics(session, customers, expected, quantile_ranks(expected), measures)
        if count == expected:
            return count, {measure: cut_points(count, found[measure]) for measure in measures}
        expected = count
    return 0, {}


def rfm(session: Session, settings: Settings, run: Run) -> None:
    """Take the cut points over all customers, with the touched ones' new values, and write what differs."""
    assert run.plan is not None
    last = runs.published_run(session, "rfm")
    assert last.counts is not None
    expected = last.counts["customers"] + rfm_merge.take_out(session, run)
    total, points = exact_cut_points(session, rfm_merge.customers(run), max(expected, 1))
    segments = run.plan["segments"]
    before = last.counts["cut_points"]
    wrote = rfm_merge.put_in(
        session, run, rules(points, segments), rules(before, segments), passed=passed_expression(before, points)
    )
    counted = runs.part_counts(session, run, "aggregate", 0) | {"customers": total}
    run.counts = counted | wrote | {"cut_points": points}
    publishing.name_current(session, run, run.plan["since"]["generation"])


def menu(session: Session, settings: Settings, run: Run) -> None:
    """Put the touched stretches' tallies in place, rank their dayparts anew, and write what differs."""
    assert run.plan is not None
    ranked = {
        daypart: rank_items(items, transactions, run.plan["top_n"])
        for daypart, items, transactions in menu_merge.merge(session, run)
    }
    names = item_names(settings, {item for best in ranked.values() for item in best["menu_item_id"]})
    changed = sum(menu_merge.put_ranks(session, run, daypart, best, names) for daypart, best in ranked.items())
    counted = runs.part_counts(session, run, "tally", 0) if run.plan["stretches"] else {}
    run.counts = counted | {"stretches": len(run.plan["stretches"]), "changed_ranks": changed}
    publishing.name_current(session, run, run.plan["since"]["generation"])
