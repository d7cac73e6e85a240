"""What lists of customers filter by beside their values: each customer's cluster, 0 for none, and whether overdue.

Both are other kinds' results. They are stored in the rows of `rfm_results`, so that one index has a list's filter and
its order. Every run that publishes one of the three kinds brings them up to date in the transaction that publishes.
"""

from __future__ import annotations

from psycopg import sql
from sqlalchemy import text
from sqlalchemy.orm import Session

from kinds.generations import Generations
from kinds.rfm import groups
from postgres import tune
from source.window import key_range
from store import publishing
from store.database import driver
from store.models import Part, Published, Run

FOLLOWED = {"clusters": Generations("cluster"), "predictions": Generations("prediction")}
ALL = sql.SQL("true")
_PUBLISHING = text("SELECT pg_advisory_xact_lock(hashtext('smartcrm.rfm.marks'))")
# Joined to rows with `mobile_id`; `whose` filters the customers of each side. OFFSET 0 is an optimization fence:
# without it, the ids of `whose` could be looked up again for each row.
_JOINED = """
LEFT JOIN (SELECT mobile_id, cluster_id AS its FROM customer_clusters
  WHERE {whose} AND cluster_id IS NOT NULL OFFSET 0) AS c USING (mobile_id)
LEFT JOIN (SELECT mobile_id, true AS late FROM customer_predictions
  WHERE {whose} AND overdue_since IS NOT NULL OFFSET 0) AS p USING (mobile_id)
"""
_VALUES = "coalesce(its, 0), coalesce(late, false)"
_UPDATE = """
WITH changed AS (UPDATE rfm_results AS r SET (cluster_id, overdue) = (n.its, n.late)
FROM (SELECT shard, mobile_id, coalesce(its, 0) AS its, coalesce(late, false) AS late,
        cluster_id AS its_before, overdue AS late_before
      FROM (SELECT * FROM rfm_results WHERE generation = {generation} AND {whose}) AS held {joined}
      WHERE (cluster_id, overdue) <> (coalesce(its, 0), coalesce(late, false))) AS n
WHERE r.generation = {generation} AND r.shard = n.shard AND r.mobile_id = n.mobile_id
RETURNING r.segment_number, r.overdue, r.cluster_id, late_before, its_before)
"""
_CHANGES = """
SELECT segment_number, overdue, cluster_id, 1 AS customers FROM changed
UNION ALL SELECT segment_number, late_before, its_before, -1 FROM changed
"""


def publishing_alone(session: Session) -> None:
    """Wait until no other transaction publishes one of the three kinds."""
    session.execute(_PUBLISHING)


def state(session: Session) -> list[str | None]:
    """The published runs that the marks follow from."""
    found = [session.get(Published, kind, populate_existing=True) for kind in FOLLOWED]
    return [str(each.run_id) if each else None for each in found]


def of_part(run: Run, part: Part) -> tuple[sql.Composable, sql.Composable]:
    """The marks of a part's customers: a join to rows with `mobile_id`, and the two values.

    Before the first clusters and predictions are published, nothing is joined. If some are published meanwhile, the
    marks are updated at the publish.
    """
    assert run.plan is not None
    if run.plan.get("marks") == [None] * len(FOLLOWED):
        return sql.SQL(""), sql.SQL("0, false")
    whose = key_range(sql.Identifier("mobile_id"), part, "text")
    return sql.SQL(_JOINED).format(whose=whose), sql.SQL(_VALUES)


def update(session: Session, generation: int, whose: sql.Composable = ALL) -> None:
    """Update the rows of a generation whose marks differ, and the counts of groups; `whose` filters the customers."""
    tune(driver(session))
    names = {"generation": sql.Literal(generation), "whose": whose, "joined": sql.SQL(_JOINED).format(whose=whose)}
    groups.add(session, generation, sql.SQL(_CHANGES), before=sql.SQL(_UPDATE).format(**names))


def among(ids: sql.Composable) -> sql.Composed:
    """The condition that a customer is among those of a query.

    Ids are passed as an array, for which the planner uses the index; for a join it would read all customers.
    """
    return sql.SQL("mobile_id = ANY (ARRAY({}))").format(ids)


def follow(session: Session, run: Run) -> None:
    """Update the published rows after this run of another kind was published."""
    publishing_alone(session)
    generation = publishing.generation_of(session, "rfm")
    if generation is None:
        return
    if run.mode == "incremental":
        touched = sql.SQL("SELECT mobile_id FROM {}").format(FOLLOWED[run.kind].staging(run, 0))
        update(session, generation, among(touched))
    else:
        update(session, generation)
