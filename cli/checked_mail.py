"""Checks of the morning mail for `smartcrm doctor`: whether its server can be used, and what became of the last one."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from settings import Settings
from source.checks import Finding
from store import mails
from store.database import snapshot


def examine(settings: Settings) -> Iterator[Finding]:
    """Findings about the mail server and the last mail; none if no mail is sent."""
    if settings.report_server is None:
        return
    from worker.mailing import MailError, answer_of, connected

    try:
        with connected(settings.report_server):
            yield Finding("ok", "mail server", "reachable" + (", logged in" if settings.report_server.user else ""))
    except (OSError, smtplib.SMTPException, MailError) as error:
        yield Finding("fault", "mail server", f"can't be used: {answer_of(error)}", "Check REPORT_SMTP_URL.")
    with suppress(SQLAlchemyError), snapshot(settings.database_url) as session:
        mail = mails.newest(session)
        if mail is None:
            return
        found = f"that of {mail.business_date}: {mail.state}"
        if mail.state in ("waiting", "failed") and mail.last_answer:
            remedy = "Check REPORT_SMTP_URL and REPORT_TO."
            yield Finding(
                "warning", "morning mail", f"{found} after {mail.attempts} attempts: {mail.last_answer}", remedy
            )
        else:
            yield Finding("ok", "morning mail", found)
