"""Which business day's nightly runs were asked for last: one row, so that any number of beats ask once."""

from __future__ import annotations

from datetime import date

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.models import Night


def due(session: Session, today: date) -> bool:
    """Whether this business day's runs are still to be asked for.

    A database that has never asked begins with the next day: starting the system starts no run.
    """
    session.execute(insert(Night).values(asked_for=today).on_conflict_do_nothing())
    return session.scalars(select(Night.asked_for)).one() < today


def asked(session: Session, today: date) -> None:
    """Note that they were asked for; a day that was noted stays, also when a clock is set back."""
    row = insert(Night).values(asked_for=today)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[Night.single],
            set_={"asked_for": row.excluded.asked_for},
            where=Night.asked_for < row.excluded.asked_for,
        )
    )
