"""Which business day's nightly runs, and which trainings, were requested last: one row, so that any number of beats
ask once.
"""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store import runs
from store.models import Night


def due(session: Session, today: date) -> bool:
    """Whether this business day's runs are still to be requested.

    A database that has never asked begins with the next day: starting the system starts no run.
    """
    session.execute(insert(Night).values(asked_for=today).on_conflict_do_nothing())
    return session.scalars(select(Night.asked_for)).one() < today


def asked(session: Session, today: date) -> None:
    """Note that they were requested; a day that was noted stays, also when a clock is set back."""
    row = insert(Night).values(asked_for=today)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[Night.single],
            set_={"asked_for": row.excluded.asked_for},
            where=Night.asked_for < row.excluded.asked_for,
        )
    )


def trained_for(session: Session) -> datetime:
    """The scheduled time whose trainings were requested last; before the first, the time of the first call.

    `due` has been called before.
    """
    session.execute(update(Night).where(Night.trained_for.is_(None)).values(trained_for=runs.now(session)))
    found = session.scalars(select(Night.trained_for)).one()
    assert found is not None
    return found


def trained(session: Session, moment: datetime) -> None:
    """Note that the trainings of this scheduled time were requested; a later time that was noted stays."""
    earlier = Night.trained_for.is_(None) | (Night.trained_for < moment)
    session.execute(update(Night).where(earlier).values(trained_for=moment))
