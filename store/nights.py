"""The last requested nightly runs and trainings, in one row, so that several beats request each of them once."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store import runs
from store.models import Night


def due(session: Session, today: date) -> bool:
    """Whether this business day's runs are still to be requested.

    The first call on a new database counts its day as requested, so that starting the system starts no run.
    """
    session.execute(insert(Night).values(asked_for=today).on_conflict_do_nothing())
    return session.scalars(select(Night.asked_for)).one() < today


def mark_requested(session: Session, today: date) -> None:
    """Store that the day's runs were requested; a later day that is stored stays, also when a clock is set back."""
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

    `due` has to be called before: it creates the row.
    """
    session.execute(update(Night).where(Night.trained_for.is_(None)).values(trained_for=runs.now(session)))
    found = session.scalars(select(Night.trained_for)).one()
    assert found is not None
    return found


def mark_trained(session: Session, moment: datetime) -> None:
    """Store that the trainings of this scheduled time were requested; a later time that is stored stays."""
    earlier = Night.trained_for.is_(None) | (Night.trained_for < moment)
    session.execute(update(Night).where(earlier).values(trained_for=moment))
