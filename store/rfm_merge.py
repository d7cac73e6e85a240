"""RFM's incremental run: the touched customers' new values go into the published generation, in place.

All of it happens in the transaction that publishes, so a reader sees it whole or not at all. Only rows whose
values change are written. The scores follow from exact cut points over all customers, so customers who were
not touched may move, too.
"""

from __future__ import annotations

from psycopg import sql
from sqlalchemy.orm import Session

from store.bulk import tune
from store.database import driver, scalar
from store.models import Run
from store.rfm import Rules, staging


def _generation(run: Run) -> sql.Literal:
    assert run.plan is not None
    return sql.Literal(run.plan["since"]["generation"])


def customers(run: Run) -> sql.Composed:
    """The customers of the generation that is built on, as a query."""
    return sql.SQL("SELECT recency_days, frequency, cents FROM rfm_results WHERE generation = {}").format(
        _generation(run)
    )


def put_values(session: Session, run: Run) -> int:
    """Write the touched customers' values: changed, added and removed rows. Returns how many customers there are.

    What they were before is kept for `rescore`; an added row has score 0, which no score is equal to.
    """
    connection = driver(session)
    tune(connection)
    names = {
        "touched": staging(run, 0),
        "generation": _generation(run),
        "run_id": sql.Literal(run.run_id),
        "now": sql.Literal(run.started_at),
    }
    for statement in (
        "CREATE TEMP TABLE rfm_was ON COMMIT DROP AS SELECT mobile_id, shard, segment"
        " FROM {touched} JOIN rfm_results AS r USING (mobile_id) WHERE generation = {generation}",
        "ANALYZE rfm_was",
        "DELETE FROM rfm_results AS r USING rfm_was JOIN {touched} AS t USING (mobile_id)"
        " WHERE generation = {generation} AND r.shard = rfm_was.shard AND r.mobile_id = t.mobile_id"
        " AND t.frequency = 0",
        "UPDATE rfm_results AS r SET recency_days = t.recency_days, frequency = t.frequency, cents = t.cents,"
        " run_id = {run_id}, computed_at = {now} FROM rfm_was JOIN {touched} AS t USING (mobile_id)"
        " WHERE generation = {generation} AND r.shard = rfm_was.shard AND r.mobile_id = t.mobile_id"
        " AND (r.recency_days, r.frequency, r.cents) IS DISTINCT FROM (t.recency_days, t.frequency, t.cents)",
        "INSERT INTO rfm_results (generation, shard, mobile_id, recency_days, frequency, cents,"
        " r_score, f_score, m_score, rfm_score, segment, run_id, computed_at)"
        " SELECT {generation}, 0, mobile_id, recency_days, frequency, cents, 0, 0, 0, '', '', {run_id}, {now}"
        " FROM {touched} WHERE frequency > 0 AND mobile_id NOT IN (SELECT mobile_id FROM rfm_was)",
    ):
        connection.execute(sql.SQL(statement).format(**names))
    return int(scalar(connection, sql.SQL("SELECT count(*) FROM ({}) AS customers").format(customers(run))))


def rescore(session: Session, run: Run, rules: Rules, before: Rules, *, passed: str) -> dict[str, int]:
    """Write the scores and segments that differ now, and tell who moved; returns how many rows and moves.

    Only rows with new values, and those for which the condition `passed` holds, can have another score.
    A customer moved by `behaviour` where the new values alone, held against the cut points of before, lead out
    of the old segment; otherwise the cut points moved.
    """
    connection = driver(session)
    tune(connection)
    names = {
        "generation": _generation(run),
        "touched": staging(run, 0),
        "run_id": sql.Literal(run.run_id),
        "now": sql.Literal(run.started_at),
        "scores": rules.columns(),
        "segment": rules.segment(),
        "passed": sql.SQL(passed),
        "scores_before": before.columns(),
        "segment_before": before.segment(),
    }
    connection.execute(
        sql.SQL(
            "CREATE TEMP TABLE rfm_rescored ON COMMIT DROP AS"
            " SELECT mobile_id, shard, recency_days, frequency, cents, r, f, m, segment AS was, {segment} AS becomes"
            " FROM (SELECT *, {scores} FROM rfm_results"
            "  WHERE generation = {generation} AND (run_id = {run_id} OR {passed}) OFFSET 0) AS scored"
            " WHERE r <> r_score OR f <> f_score OR m <> m_score"
        ).format(**names)
    )
    connection.execute("ANALYZE rfm_rescored")
    changed = connection.execute(
        sql.SQL(
            "UPDATE rfm_results AS r SET r_score = n.r, f_score = n.f, m_score = n.m,"
            " rfm_score = (100 * n.r + 10 * n.f + n.m)::text, segment = n.becomes,"
            " run_id = {run_id}, computed_at = {now}"
            " FROM rfm_rescored AS n"
            " WHERE generation = {generation} AND r.shard = n.shard AND r.mobile_id = n.mobile_id"
        ).format(**names)
    ).rowcount
    moved = connection.execute(
        sql.SQL(
            "INSERT INTO segment_changes (run_id, mobile_id, from_segment, to_segment, changed_at, reason)"
            " SELECT {run_id}, mobile_id, was, becomes, now(),"
            "  CASE WHEN becomes IS NOT NULL AND {segment_before} = was THEN 'cut_points' ELSE 'behaviour' END"
            " FROM (SELECT mobile_id, nullif(was, '') AS was, becomes, {scores_before} FROM rfm_rescored"
            "  WHERE was <> becomes"
            "  UNION ALL SELECT mobile_id, segment, NULL, 1, 1, 1 FROM rfm_was JOIN {touched} AS t USING (mobile_id)"
            '  WHERE t.frequency = 0) AS moved ORDER BY mobile_id COLLATE "C"'
        ).format(**names)
    ).rowcount
    return {"rescored_customers": changed, "moved_customers": moved}
