"""An incremental run: the touched customers' new predictions go into the published generation, in place.

Within a business day, with the same model, a prediction follows from the customer's own history, so nobody else's
changes. All of it happens in the transaction that publishes, and only rows whose values differ are written.
"""

from __future__ import annotations

from psycopg import sql
from sqlalchemy.orm import Session

from kinds.predictions.model import Predictor
from kinds.predictions.rows import TABLES
from kinds.predictions.scoring import COLUMNS, scored
from postgres import tune
from store import progress, publishing, versions
from store.database import driver
from store.models import Run

# What a prediction follows from, and what it comes to where spending differs.
_SAME = "(r.x, r.t_x, r.t, r.value_cents) = (s.x, s.t_x, s.t, s.value_cents)"


def merge(session: Session, run: Run) -> None:
    """Score the staged customers, and write what differs into the published generation."""
    assert run.plan is not None
    connection, generation = driver(session), run.plan["since"]["generation"]
    tune(connection)
    version = versions.numbered(session, run.kind, run.plan["champion"])
    touched = TABLES.staging(run, 0)
    customers = sql.SQL("SELECT * FROM {} WHERE x >= 0").format(touched)
    query = scored(session, run, customers, Predictor.of(version.params), version.version, generation, 0)
    names = {
        "columns": sql.SQL(COLUMNS),
        "generation": sql.Literal(generation),
        "touched": touched,
        "same": sql.SQL(_SAME),
        "query": query,
    }
    for statement in (
        "CREATE TEMP TABLE prediction_scored (LIKE prediction_results) ON COMMIT DROP",
        "INSERT INTO prediction_scored ({columns}) {query}",
        # Keys go as an array, for which the planner takes the index; of a join it would read all customers.
        "CREATE TEMP TABLE prediction_was ON COMMIT DROP AS SELECT * FROM prediction_results"
        " WHERE generation = {generation} AND mobile_id = ANY (ARRAY(SELECT mobile_id FROM {touched}))",
        "UPDATE prediction_scored AS s SET shard = r.shard FROM prediction_was AS r WHERE r.mobile_id = s.mobile_id",
        "DELETE FROM prediction_scored AS s USING prediction_was AS r WHERE r.mobile_id = s.mobile_id AND {same}",
    ):
        connection.execute(sql.SQL(statement).format(**names))
    gone = connection.execute(
        sql.SQL(
            "DELETE FROM prediction_results WHERE generation = {generation} AND mobile_id = ANY (ARRAY("
            "SELECT mobile_id FROM prediction_scored"
            " UNION ALL SELECT mobile_id FROM {touched} WHERE x < 0))"
        ).format(**names)
    ).rowcount
    written = connection.execute(
        sql.SQL("INSERT INTO prediction_results ({columns}) SELECT {columns} FROM prediction_scored").format(**names)
    ).rowcount
    counted = progress.part_counts(session, run, "summarize", 0)
    run.counts = counted | {"rescored_customers": written, "removed_rows": gone}
    publishing.name_current(session, run, generation)
