"""RFM's incremental run: the touched customers' new values are merged into the published generation.

All of it happens in the transaction that publishes, so readers see all changes or none. Only rows with changed values
are written, and once: they are removed, the cut points are computed over the remaining and the new rows, and the new
rows are inserted with their scores. Keys are passed as an array, for which the planner uses the index; for a join it
would read all customers. Customers who were not touched may also move, because of the cut points.

No step reads all customers: the counts of customers per value and per code change by those of the changed rows, and
customers near a cut point are found by an index. Where an older version has published, or a cut point of cents has
left the range of its index, all are read.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import Any

from psycopg import sql
from sqlalchemy.orm import Session

from analytics.scores import CENTS, FREQUENCY, Point, edge, passed_expression
from kinds.rfm import cells, counts, groups, marks
from kinds.rfm.quantiles import exact_cut_points, moved_cut_points
from kinds.rfm.results import published_customers
from kinds.rfm.rows import staged, staging
from kinds.rfm.rules import Rules, day_of_rules, measures, own_cut_points, rules
from postgres import tune
from source.window import day_of, today
from store import progress, publishing, runs
from store.database import driver
from store.models import Run

# The changes of each group's customers.
_GROUPS = """
SELECT segment_number, overdue, cluster_id, -1 AS customers FROM rfm_was
UNION ALL SELECT was, overdue, cluster_id, -1 FROM rfm_scored WHERE NOT comes
UNION ALL SELECT becomes, overdue, cluster_id, 1 FROM rfm_scored
"""


def merge(session: Session, run: Run) -> None:
    """Compute the cut points over all customers, with the touched ones' new values, and write what differs."""
    assert run.plan is not None
    last = runs.published_run(session, "rfm")
    assert last.counts is not None and last.plan is not None
    segments, before = run.plan["segments"], last.counts["cut_points"]
    was, now = day_of(last.plan["business_date"]), today(run.plan)
    marks.publishing_alone(session)
    remove_changed(session, run)
    scored_before = rules(before, segments, was)
    found = _counted(session, run, scored_before)
    counts.replace(session, _since(run)["generation"], found)
    total = found[FREQUENCY].total()
    points = _cut_points(session, run, last, found, scored_before) | own_cut_points(run.plan)
    written = insert_scored(
        session,
        run,
        rules(points, segments, now),
        rules(before, segments, day_of_rules(run.plan, last.plan)),
        passed=passed_expression(before, points, was, now),
    )
    counted = progress.part_counts(session, run, "aggregate", 0) | {"customers": total}
    kept = {name: last.counts[name] for name in ("near",) if name in last.counts}
    if "cells" in last.counts:
        kept["cells"] = cells.changed(last.counts["cells"], _changed_cells(session))
    run.counts = counted | written | kept | {"cut_points": points}
    publishing.name_current(session, run, _since(run)["generation"], baseline=True)


def _since(run: Run) -> dict[str, Any]:
    assert run.plan is not None
    since: dict[str, Any] = run.plan["since"]
    return since


def _generation(run: Run) -> sql.Literal:
    return sql.Literal(_since(run)["generation"])


def remove_changed(session: Session, run: Run) -> None:
    """Remove the rows of touched customers with changed values or none.

    The old rows are kept as `rfm_was`; of the touched customers, only these and new ones stay staged.
    """
    connection = driver(session)
    tune(connection)
    assert run.plan is not None
    theirs = sql.SQL("true" if run.plan.get("recompute_all") else "mobile_id = ANY (ARRAY(SELECT mobile_id FROM {}))")
    names = {
        "touched": staging(run, 0),
        "generation": _generation(run),
        "theirs": theirs.format(staging(run, 0)),
    }
    for statement in (
        "CREATE TEMP TABLE rfm_was ON COMMIT DROP AS"
        " SELECT shard, mobile_id, last_day, frequency, cents, r_score, f_score, m_score, segment_number,"
        "  first_purchase_at, cluster_id, overdue FROM rfm_results WHERE generation = {generation} AND {theirs}",
        "DELETE FROM {touched} AS t USING rfm_was AS w WHERE t.mobile_id = w.mobile_id"
        " AND (t.last_day, t.frequency, t.cents, t.first_purchase_at)"
        "   = (w.last_day, w.frequency, w.cents, w.first_purchase_at)",
        "DELETE FROM rfm_was AS w WHERE NOT EXISTS (SELECT FROM {touched} AS t WHERE t.mobile_id = w.mobile_id)",
        "DELETE FROM rfm_results"
        " WHERE generation = {generation} AND mobile_id = ANY (ARRAY(SELECT mobile_id FROM rfm_was))",
    ):
        connection.execute(sql.SQL(statement).format(**names))


def customers(run: Run) -> sql.Composed:
    """All customers with their values, as a query: the remaining and the new rows."""
    return sql.SQL(" UNION ALL ").join(_customers(run))


def _customers(run: Run) -> list[sql.Composed]:
    return [published_customers(_since(run)["generation"]), staged(run, [0])]


def _counted(session: Session, run: Run, before: Rules) -> counts.Counts:
    """The customers per value, with the changed ones."""
    known = counts.load(session, _since(run)["generation"])
    if known is None:
        return counts.count(session, counts.once(customers(run)))
    changes = sql.SQL(
        "SELECT last_day, frequency, -1 AS customers FROM rfm_was"
        " UNION ALL SELECT last_day, frequency, 1 FROM {} WHERE frequency > 0"
    ).format(staging(run, 0))
    return counts.added(known, counts.count(session, changes))


def _cut_points(session: Session, run: Run, last: Run, found: counts.Counts, before: Rules) -> dict[str, list[Point]]:
    """The cut points that are quintiles."""
    assert run.plan is not None and last.counts is not None
    own, now, total = own_cut_points(run.plan), today(run.plan), found[FREQUENCY].total()
    wanted = [measure for measure in measures(run.plan) if measure not in own]
    points = counts.cut_points(found, wanted, now)
    others = [measure for measure in wanted if measure not in counts.COUNTED]
    old, ranges = last.counts["cut_points"].get(CENTS), last.counts.get("near", {}).get(CENTS)
    if others == [CENTS] and total and old and ranges and "cells" in last.counts:
        edges = [edge(CENTS, point, now) for point in old]
        below = _below(session, run, last.counts["cells"], before)
        moved = moved_cut_points(session, _customers(run), total, below, edges, ranges)
        if moved is not None:
            return points | {CENTS: moved}
    return points | exact_cut_points(session, customers(run), max(total, 1), others, now)[1] if others else points


def _below(session: Session, run: Run, kept: list[list[int]], before: Rules) -> list[int]:
    """The number of customers, with the changed ones, on the lower side of each old cut point of M."""
    scored: Counter[int] = Counter()
    for _, _, m, number, _ in kept:
        scored[m] += number
    changes = sql.SQL(
        "SELECT m, sum(customers)::bigint FROM (SELECT m_score AS m, -1 AS customers FROM rfm_was"
        " UNION ALL SELECT m, 1 FROM (SELECT {scores} FROM {touched} WHERE frequency > 0) AS come) AS c GROUP BY m"
    ).format(scores=before.columns(), touched=staging(run, 0))
    for m, number in driver(session).execute(changes).fetchall():
        scored[m] += number
    return list(accumulate(scored[m] for m in range(1, 5)))


def _changed_cells(session: Session) -> list[tuple[int, ...]]:
    """The changes of each R-F-M code's customers and cents."""
    return (
        driver(session)
        .execute(
            "SELECT r, f, m, sum(customers)::bigint, sum(customers * cents)::bigint FROM ("
            " SELECT r, f, m, 1 AS customers, cents FROM rfm_scored"
            " UNION ALL SELECT r_score, f_score, m_score, -1, cents FROM rfm_scored WHERE NOT comes"
            " UNION ALL SELECT r_score, f_score, m_score, -1, cents FROM rfm_was"
            ") AS changes GROUP BY r, f, m"
        )
        .fetchall()
    )


def insert_scored(session: Session, run: Run, rules: Rules, before: Rules, *, passed: str) -> dict[str, int]:
    """Write the new rows and the changed scores, and record changes; returns the numbers of rows and of changes.

    Of the remaining rows, only those for which the condition `passed` holds can have another score. The reason of a
    change is `behaviour` if the new values lead out of the old segment with the old cut points, else `cut_points`.
    """
    connection = driver(session)
    tune(connection)
    names = {
        "generation": _generation(run),
        "touched": staging(run, 0),
        "run_id": sql.Literal(run.run_id),
        "written_by": sql.Literal(run.generation),
        "scores": rules.columns(),
        "segment": rules.segment_number(),
        # Both maps are the same, or the run would be full.
        "from_segment": rules.named(sql.Identifier("was")),
        "to_segment": rules.named(sql.Identifier("becomes")),
        "passed": sql.SQL(passed),
        "scores_before": before.columns(),
        "segment_before": before.segment_number(),
    }
    scored = (
        "CREATE TEMP TABLE rfm_scored ON COMMIT DROP AS"
        " SELECT comes, shard, mobile_id, last_day, frequency, cents, r, f, m, r_score, f_score, m_score, was,"
        "  {segment} AS becomes, first_purchase_at, cluster_id, overdue"
        " FROM (SELECT *, {scores} FROM"
        "  (SELECT true AS comes, coalesce(shard, 0) AS shard, mobile_id, t.last_day, t.frequency, t.cents,"
        "    NULL::smallint AS r_score, NULL::smallint AS f_score, NULL::smallint AS m_score, segment_number AS was,"
        "    t.first_purchase_at, coalesce(cluster_id, 0) AS cluster_id, coalesce(overdue, false) AS overdue"
        "   FROM {touched} AS t LEFT JOIN rfm_was USING (mobile_id) WHERE t.frequency > 0"
        "   UNION ALL SELECT false, shard, mobile_id, last_day, frequency, cents,"
        "    r_score, f_score, m_score, segment_number, first_purchase_at, cluster_id, overdue"
        "   FROM rfm_results WHERE generation = {generation} AND ({passed})) AS rows OFFSET 0) AS scored"
        " WHERE comes OR r <> r_score OR f <> f_score OR m <> m_score"
    )
    written = connection.execute(sql.SQL(scored).format(**names)).rowcount
    for statement in (
        # No index has the scores: where the segment stays, the new row needs no index entries if its page has room.
        "UPDATE rfm_results AS r SET (r_score, f_score, m_score, segment_number, written_by)"
        "  = (s.r, s.f, s.m, s.becomes, {written_by})"
        " FROM rfm_scored AS s WHERE NOT s.comes AND r.generation = {generation}"
        " AND r.mobile_id = ANY (ARRAY(SELECT mobile_id FROM rfm_scored WHERE NOT comes))"
        " AND r.shard = s.shard AND r.mobile_id = s.mobile_id",
        "INSERT INTO rfm_results (generation, shard, mobile_id, last_day, frequency, cents,"
        " r_score, f_score, m_score, segment_number, written_by, first_purchase_at, cluster_id, overdue)"
        " SELECT {generation}, shard, mobile_id, last_day, frequency, cents, r, f, m, becomes, {written_by},"
        "  first_purchase_at, cluster_id, overdue"
        " FROM rfm_scored WHERE comes",
    ):
        connection.execute(sql.SQL(statement).format(**names))
    moved = connection.execute(
        sql.SQL(
            "INSERT INTO segment_changes (run_id, mobile_id, from_segment, to_segment, changed_at, reason)"
            " SELECT {run_id}, mobile_id, {from_segment}, {to_segment}, now(),"
            "  CASE WHEN becomes IS NOT NULL AND {segment_before} = was THEN 'cut_points' ELSE 'behaviour' END"
            " FROM (SELECT mobile_id, was, becomes, {scores_before} FROM rfm_scored WHERE was IS DISTINCT FROM becomes"
            "  UNION ALL SELECT mobile_id, segment_number, NULL, 1, 1, 1"
            "   FROM rfm_was JOIN {touched} AS t USING (mobile_id) WHERE (t.frequency > 0) IS NOT TRUE"
            ' ) AS moved ORDER BY mobile_id COLLATE "C"'
        ).format(**names)
    ).rowcount
    generation = _since(run)["generation"]
    groups.add(session, generation, sql.SQL(_GROUPS))
    new = sql.SQL("SELECT mobile_id FROM rfm_scored WHERE comes AND was IS NULL")
    marks.update(session, generation, marks.among(new))
    return {"rescored_customers": written, "moved_customers": moved}
