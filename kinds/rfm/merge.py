"""RFM's incremental run: the touched customers' new values are merged into the published generation.

All of it happens in the transaction that publishes, so readers see all changes or none. Only rows with changed values
are written, and once: they are removed, the cut points are computed over the remaining and the new rows, and the new
rows are inserted with their scores. Keys are passed as an array, for which the planner uses the index; for a join it
would read all customers. Customers who were not touched may also move, because of the cut points.
"""

from __future__ import annotations

from psycopg import sql
from sqlalchemy.orm import Session

from analytics.scores import passed_expression
from kinds.rfm.quantiles import exact_cut_points
from kinds.rfm.rows import staging
from kinds.rfm.rules import Rules, measures, own_cut_points, rules
from postgres import scalar, tune
from store import progress, publishing, runs
from store.database import driver
from store.models import Run


def merge(session: Session, run: Run) -> None:
    """Compute the cut points over all customers, with the touched ones' new values, and write what differs."""
    assert run.plan is not None
    last = runs.published_run(session, "rfm")
    assert last.counts is not None
    expected = last.counts["customers"] + remove_changed(session, run)
    own = own_cut_points(run.plan)
    quintiles = [measure for measure in measures(run.plan) if measure not in own]
    total, points = exact_cut_points(session, customers(run), max(expected, 1), quintiles)
    points |= own
    segments = run.plan["segments"]
    before = last.counts["cut_points"]
    written = insert_scored(
        session, run, rules(points, segments), rules(before, segments), passed=passed_expression(before, points)
    )
    counted = progress.part_counts(session, run, "aggregate", 0) | {"customers": total}
    run.counts = counted | written | {"cut_points": points}
    publishing.name_current(session, run, run.plan["since"]["generation"], baseline=True)


def _generation(run: Run) -> sql.Literal:
    assert run.plan is not None
    return sql.Literal(run.plan["since"]["generation"])


def remove_changed(session: Session, run: Run) -> int:
    """Remove the rows of touched customers with changed values or none; returns the change in the number of customers.

    The old rows are kept for `insert_scored`; of the touched customers, only these and new ones stay staged.
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
        " SELECT shard, mobile_id, recency_days, frequency, cents, segment_number, first_purchase_at FROM rfm_results"
        " WHERE generation = {generation} AND {theirs}",
        "ANALYZE rfm_was",
        "DELETE FROM {touched} AS t USING rfm_was AS w WHERE t.mobile_id = w.mobile_id"
        " AND (t.recency_days, t.frequency, t.cents, t.first_purchase_at)"
        "   = (w.recency_days, w.frequency, w.cents, w.first_purchase_at)",
        "DELETE FROM rfm_results"
        " WHERE generation = {generation} AND mobile_id = ANY (ARRAY(SELECT mobile_id FROM {touched}))",
    ):
        gone = connection.execute(sql.SQL(statement).format(**names)).rowcount  # finally the last statement's
    come = scalar(connection, sql.SQL("SELECT count(*) FROM {} WHERE frequency > 0").format(staging(run, 0)))
    return int(come) - gone


def customers(run: Run) -> sql.Composed:
    """All customers with their values, as a query: the remaining and the new rows."""
    return sql.SQL(
        "SELECT recency_days, frequency, cents FROM rfm_results WHERE generation = {}"
        " UNION ALL SELECT recency_days, frequency, cents FROM {} WHERE frequency > 0"
    ).format(_generation(run), staging(run, 0))


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
    for statement in (
        "CREATE TEMP TABLE rfm_scored ON COMMIT DROP AS"
        " SELECT comes, shard, mobile_id, recency_days, frequency, cents, r, f, m, was, {segment} AS becomes,"
        "  first_purchase_at"
        " FROM (SELECT *, {scores} FROM"
        "  (SELECT true AS comes, coalesce(shard, 0) AS shard, mobile_id, t.recency_days, t.frequency, t.cents,"
        "    NULL::smallint AS r_score, NULL::smallint AS f_score, NULL::smallint AS m_score, segment_number AS was,"
        "    t.first_purchase_at"
        "   FROM {touched} AS t LEFT JOIN rfm_was USING (mobile_id) WHERE t.frequency > 0"
        "   UNION ALL SELECT false, shard, mobile_id, recency_days, frequency, cents,"
        "    r_score, f_score, m_score, segment_number, first_purchase_at"
        "   FROM rfm_results WHERE generation = {generation} AND ({passed})) AS rows OFFSET 0) AS scored"
        " WHERE comes OR r <> r_score OR f <> f_score OR m <> m_score",
        "ANALYZE rfm_scored",
        "DELETE FROM rfm_results WHERE generation = {generation}"
        " AND mobile_id = ANY (ARRAY(SELECT mobile_id FROM rfm_scored WHERE NOT comes))",
        "INSERT INTO rfm_results (generation, shard, mobile_id, recency_days, frequency, cents,"
        " r_score, f_score, m_score, segment_number, written_by, first_purchase_at)"
        " SELECT {generation}, shard, mobile_id, recency_days, frequency, cents, r, f, m, becomes, {written_by},"
        "  first_purchase_at"
        " FROM rfm_scored",
    ):
        connection.execute(sql.SQL(statement).format(**names))
    moved = connection.execute(
        sql.SQL(
            "INSERT INTO segment_changes (run_id, mobile_id, from_segment, to_segment, changed_at, reason)"
            " SELECT {run_id}, mobile_id, {from_segment}, {to_segment}, now(),"
            "  CASE WHEN becomes IS NOT NULL AND {segment_before} = was THEN 'cut_points' ELSE 'behaviour' END"
            " FROM (SELECT mobile_id, was, becomes, {scores_before} FROM rfm_scored WHERE was IS DISTINCT FROM becomes"
            "  UNION ALL SELECT mobile_id, segment_number, NULL, 1, 1, 1"
            "   FROM rfm_was JOIN {touched} AS t USING (mobile_id) WHERE t.frequency = 0"
            ' ) AS moved ORDER BY mobile_id COLLATE "C"'
        ).format(**names)
    ).rowcount
    written = int(scalar(connection, "SELECT count(*) FROM rfm_scored"))
    return {"rescored_customers": written, "moved_customers": moved}
