"""Sending the morning mail that is due, with its result stored."""

from __future__ import annotations

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from reports.mail import composed, data_until
from settings import Settings
from source.window import business_date_of
from store import mails, runs
from store.database import transaction
from worker.mailing import send

log = structlog.get_logger("mails")


def send_due(settings: Settings) -> None:
    """Send today's mail to those who have not got it yet, if it is due and there is anything new."""
    if settings.report_server is None:
        return
    with transaction(settings.database_url) as session:
        today = business_date_of(runs.now(session), settings.timezone, settings.business_day_start)
        if not mails.due(session, today):
            return
        attempt = mails.claim(session, today, settings.report_to, data_until(session, today))
    if attempt is None:
        return
    try:
        remaining, answer = send(settings.report_server, composed(settings, attempt), attempt.recipients)
    except SoftTimeLimitExceeded:
        remaining, answer = attempt.recipients, "the page or the server took too long"
        log.warning("mail not sent", reason=answer)
    except Exception as error:  # any failure is stored, and the mail is tried again
        remaining, answer = attempt.recipients, f"the page failed: {type(error).__name__}"
        log.exception("mail not made")
    with transaction(settings.database_url) as session:
        mails.answered(session, attempt, remaining, answer)
