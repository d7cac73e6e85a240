"""Changes of segment: found per shard in a full run, recorded when it is published.

A full run is compared with the baseline, the generation that the last recorded changes led to. If the orders' database
sorts ids differently than ours, its shards do not divide the baseline, and the whole run is compared at once.
"""

from __future__ import annotations

from datetime import timedelta

from psycopg import sql
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from kinds.rfm.models import Change
from kinds.rfm.rows import generation, piece
from kinds.rfm.rules import Rules, day_of_rules, rules
from source.window import key_range, today
from store.database import driver
from store.models import Part, Published, Run

KEPT = timedelta(days=90)


def note(session: Session, run: Run, part: Part | None) -> None:
    """Store the changes of a scored shard or, without one, of a run whose shards do not divide the baseline."""
    assert run.plan is not None
    baseline = run.plan.get("baseline")
    # A run that an older version has planned always compares shards.
    if baseline and baseline.get("by_shard", True) == (part is not None):
        assert run.counts is not None
        now = rules(run.counts["cut_points"], run.plan["segments"], today(run.plan))
        day = day_of_rules(run.plan, baseline)
        before = rules(baseline["cut_points"], baseline["segments"], day)
        same = baseline["same_settings"]
        find(session, run, part, now, baseline["generation"], before, same_settings=same)


def find(
    session: Session, run: Run, part: Part | None, rules: Rules, baseline: int, before: Rules, *, same_settings: bool
) -> None:
    """Store the changes of a scored shard, or of the whole run: new, lost and moved customers.

    The reason is `settings` if they differ from the baseline's; `cut_points` if the new values give the old segment
    with the old cut points; otherwise `behaviour`.
    """
    connection, shard = driver(session), part.part if part else 0
    connection.execute(
        "DELETE FROM segment_changes_pending WHERE generation = %s AND shard = %s", [run.generation, shard]
    )
    # Segments are compared by their numbers; names are looked up for those who have moved.
    names = [*rules.names, *(name for name in before.names if name not in rules.names)]
    numbers = sql.Literal([names.index(name) + 1 for name in before.names])
    named = sql.SQL("({}::text[])[{}]")
    connection.execute(
        sql.SQL(
            "INSERT INTO segment_changes_pending (generation, shard, mobile_id, from_segment, to_segment, reason)"
            " SELECT {generation}, {shard}, mobile_id, {from_segment}, {to_segment},"
            "  CASE WHEN NOT {same_settings} THEN 'settings'"
            "   WHEN becomes IS NOT NULL AND ({numbers}::int2[])[{segment_before}] = was THEN 'cut_points'"
            "   ELSE 'behaviour' END"
            " FROM (SELECT mobile_id, was, becomes, {scores_before}"
            "  FROM (SELECT mobile_id, segment_number AS becomes, last_day, frequency, cents FROM {piece}) AS new"
            "  FULL JOIN (SELECT mobile_id, {was} AS was FROM rfm_results WHERE generation = {baseline} AND {range})"
            "   AS old USING (mobile_id)"
            "  WHERE was IS DISTINCT FROM becomes) AS moved"
        ).format(
            generation=sql.Literal(run.generation),
            shard=sql.Literal(shard),
            same_settings=sql.Literal(same_settings),
            from_segment=named.format(sql.Literal(names), sql.Identifier("was")),
            to_segment=named.format(sql.Literal(names), sql.Identifier("becomes")),
            numbers=numbers,
            was=sql.Identifier("segment_number")
            if before.names == rules.names
            else sql.SQL("({}::int2[])[segment_number]").format(numbers),
            segment_before=before.segment_number(),
            scores_before=before.columns(),
            piece=piece(run, part.part) if part else generation(run),
            baseline=sql.Literal(baseline),
            range=key_range(sql.Identifier("mobile_id"), part, "text") if part else sql.SQL("true"),
        )
    )


def publish_pending(session: Session, run: Run) -> int:
    """Record the changes that the shards found, in the transaction that publishes; returns their number."""
    connection = driver(session)
    published = connection.execute(
        "INSERT INTO segment_changes (run_id, mobile_id, from_segment, to_segment, changed_at, reason)"
        " SELECT %s, mobile_id, from_segment, to_segment, now(), reason"
        ' FROM segment_changes_pending WHERE generation = %s ORDER BY mobile_id COLLATE "C"',
        [run.run_id, run.generation],
    ).rowcount
    connection.execute("DELETE FROM segment_changes_pending WHERE generation = %s", [run.generation])
    return published


def drop_old(session: Session) -> None:
    """Delete changes past their retention, and store up to which."""
    session.execute(
        text(
            "UPDATE analytics_published SET changes_dropped_to = oldest.to_id FROM (SELECT max(change_id) AS to_id"
            " FROM segment_changes WHERE changed_at < now() - CAST(:kept AS interval)) AS oldest"
            " WHERE kind = 'rfm' AND oldest.to_id > changes_dropped_to"
        ),
        {"kept": KEPT},
    )
    dropped_to = select(Published.changes_dropped_to).where(Published.kind == "rfm").scalar_subquery()
    session.execute(delete(Change).where(Change.change_id <= dropped_to))
