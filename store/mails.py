"""Morning mails: one row per business date, so that several beats and killed workers send one mail a day.

The time of the next attempt is committed before each attempt. An attempt whose process dies is repeated at that time,
with the same Message-ID.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Text, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from store import runs, totals
from store.models import ACTIVE, Base, Delivery, Run

WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 120, 240))  # before the next attempt
KEPT = timedelta(days=35)


class Mail(Base):
    """The mail of a business date: to whom it is still to be sent, and the last attempt's result.

    `data_until` is the last complete business date with orders that it tells of. `state` is `waiting`, `sent`,
    `skipped` (no new orders) or `failed`.
    """

    __tablename__ = "analytics_mails"

    business_date: Mapped[date] = mapped_column(primary_key=True)
    mail_id: Mapped[uuid.UUID]
    state: Mapped[str]
    data_until: Mapped[date | None]
    remaining: Mapped[list[str]] = mapped_column(ARRAY(Text))
    attempts: Mapped[int]
    next_attempt_at: Mapped[datetime]
    last_answer: Mapped[str | None]


@dataclass(frozen=True)
class Attempt:
    """An attempt to send a mail."""

    business_date: date
    mail_id: uuid.UUID
    recipients: Sequence[str]


def due(session: Session, today: date) -> bool:
    """Whether this business date's mail is to be tried now: its nightly runs have ended, and its attempt is due."""
    mail = session.get(Mail, today)
    if mail is not None:
        return mail.state == "waiting" and mail.next_attempt_at <= runs.now(session)
    night = session.get(Delivery, ("nightly", today.isoformat()))
    if night is None or not night.run_ids:
        return False
    unfinished = select(func.count()).where(Run.run_id.in_(night.run_ids), Run.status.in_(ACTIVE))
    return session.scalars(unfinished).one() == 0


def claim(session: Session, today: date, recipients: Sequence[str], data_until: date | None) -> Attempt | None:
    """Begin an attempt, and set the time of the next one; None if another process did, or there is nothing to send.

    The first call for a date decides: without orders that no earlier mail told of, the mail is skipped.
    """
    now = runs.now(session)
    told = select(func.max(Mail.data_until)).where(Mail.state == "sent", Mail.business_date < today)
    before = session.scalars(told).one()
    news = data_until is not None and (before is None or data_until > before)
    row = insert(Mail).values(
        business_date=today,
        mail_id=uuid.uuid4(),
        state="waiting" if news else "skipped",
        data_until=data_until,
        remaining=list(recipients),
        attempts=0,
        next_attempt_at=now,
    )
    if session.execute(row.on_conflict_do_nothing()).rowcount and not news:  # type: ignore[attr-defined]
        totals.add(session, "report_mails", outcome="skipped")
    _give_up_before(session, today)
    mail = session.get(Mail, today, with_for_update=True, populate_existing=True)
    if mail is None or mail.state != "waiting" or mail.next_attempt_at > now:
        return None
    wait = WAITS[min(mail.attempts, len(WAITS) - 1)]
    mail.attempts, mail.next_attempt_at = mail.attempts + 1, now + wait
    return Attempt(today, mail.mail_id, mail.remaining)


def _give_up_before(session: Session, today: date) -> None:
    """Fail the waiting mails of earlier dates."""
    earlier = (Mail.state == "waiting") & (Mail.business_date < today)
    found = session.execute(update(Mail).where(earlier).values(state="failed").returning(Mail.business_date)).all()
    if found:
        totals.add(session, "report_mails", len(found), outcome="failed")


def answered(session: Session, attempt: Attempt, remaining: Sequence[str], answer: str) -> None:
    """Store the result of an attempt: to whom the mail is still to be sent, and the server's answer."""
    mail = session.get(Mail, attempt.business_date, with_for_update=True)
    if mail is None or mail.state != "waiting":
        return
    mail.remaining, mail.last_answer = list(remaining), answer
    if not remaining:
        mail.state = "sent"
    elif mail.attempts > len(WAITS):
        mail.state = "failed"
    totals.add(session, "report_mails", outcome=mail.state)


def newest(session: Session, state: str | None = None) -> Mail | None:
    """The mail of the latest business date, or of the latest in this state."""
    query = select(Mail).order_by(Mail.business_date.desc()).limit(1)
    return session.scalars(query if state is None else query.where(Mail.state == state)).first()


def drop_old(session: Session) -> None:
    """Delete old mails, except the last one that was sent, whose data the next one is compared with."""
    sent = select(func.max(Mail.business_date)).where(Mail.state == "sent").scalar_subquery()
    old = Mail.business_date < (runs.now(session) - KEPT).date()
    session.execute(delete(Mail).where(old, Mail.business_date.is_distinct_from(sent)))
