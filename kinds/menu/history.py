"""The ranks of earlier business days, from which a ranked item's rank of a week before is taken.

Each default run keeps its ranks under its business date, the last one of a day in place of those before.
"""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy.orm import Session

from store.database import driver
from store.models import Run

WEEK = timedelta(days=7)
KEPT = 2 * WEEK  # where nothing was published a week before, the newest state of the week before that serves

# A subquery: a join would read all ranks once for each rank until these are analyzed.
_BEFORE = """(
  SELECT rank FROM menu_rank_history
  WHERE business_date = (SELECT max(business_date) FROM menu_rank_history
                         WHERE business_date > %(from)s AND business_date <= %(to)s)
    AND daytime_id = ranked.daytime_id AND menu_item_id = ranked.menu_item_id)"""
_PREVIOUS = f"""
UPDATE menu_results AS ranked SET previous_rank = {_BEFORE}
WHERE generation = %(generation)s AND previous_rank IS DISTINCT FROM {_BEFORE}
"""  # noqa: S608  # put together from what stands above
_KEEP = """
INSERT INTO menu_rank_history (business_date, daytime_id, menu_item_id, rank)
SELECT %(today)s, daytime_id, menu_item_id, rank FROM menu_results WHERE generation = %(generation)s
"""


def update(session: Session, run: Run, generation: int) -> None:
    """Give a generation's ranked items their ranks of a week before, and keep its own for a week from now."""
    assert run.plan is not None
    today = date.fromisoformat(run.plan["business_date"])
    values = {"today": today, "from": today - KEPT, "to": today - WEEK, "generation": generation}
    connection = driver(session)
    connection.execute(_PREVIOUS, values)
    if not run.as_of_given:
        connection.execute(
            "DELETE FROM menu_rank_history WHERE business_date = %(today)s OR business_date <= %(from)s", values
        )
        connection.execute(_KEEP, values)
