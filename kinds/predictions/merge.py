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
    tune(driver(session))
    generation, version = run.plan["since"]["generation"], versions.of_plan(session, run)
    assert version is not None
    customers = sql.SQL("SELECT * FROM {} WHERE x >= 0").format(TABLES.staging(run, 0))
    query = scored(session, run, customers, Predictor.of(version.params), version.version, generation, 0)
    written = TABLES.merge(session, run, COLUMNS, query, _SAME)
    run.counts = progress.part_counts(session, run, "summarize", 0) | written
    publishing.name_current(session, run, generation)
