"""Sending a mail through the server of `REPORT_SMTP_URL`, with a certificate that is checked."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from email.message import EmailMessage

import structlog

from errors import SmartCRMError
from smtp_url import MailServer
from worker.posting import trusted

TIMEOUT = 20  # seconds for a connection and for each answer of the server
LOCAL = ("localhost", "127.0.0.1", "::1")
LONGEST = 200  # characters of an answer that are kept

log = structlog.get_logger("mails")


class MailError(SmartCRMError):
    """The mail server can't be used."""

    code = "mail_server_failed"


def send(server: MailServer, message: EmailMessage, recipients: Sequence[str]) -> tuple[Sequence[str], str]:
    """Send a mail; returns to whom it is still to be sent, and the server's answer or the error."""
    try:
        with connected(server) as smtp:
            refused = smtp.send_message(message, to_addrs=list(recipients))
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except (OSError, smtplib.SMTPException, MailError) as error:
        log.warning("mail not sent", reason=type(error).__name__)
        return list(recipients), answer_of(error)
    log.info("mail sent", recipients=len(recipients) - len(refused), refused=len(refused))
    if not refused:
        return [], "accepted"
    return [to for to in recipients if to in refused], _coded(*next(iter(refused.values())))


@contextmanager
def connected(server: MailServer) -> Iterator[smtplib.SMTP]:
    """A connection on which mails can be sent: with TLS if the server offers it, and logged in.

    Raises
    ------
    MailError
        When a password would be sent to another machine without TLS.
    OSError, SMTPException
        When the server can't be reached or refuses.
    """
    if server.tls:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=trusted())
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)
    try:
        smtp.ehlo_or_helo_if_needed()
        if not server.tls and smtp.has_extn("starttls"):
            smtp.starttls(context=trusted())
            smtp.ehlo()
        elif not server.tls and server.password and server.host not in LOCAL:
            raise MailError("The server offers no STARTTLS, and the password is not sent without TLS.")
        if server.user and server.password:
            smtp.login(server.user, server.password)
        yield smtp
    finally:
        with suppress(OSError, smtplib.SMTPException):  # what was accepted stays so, whatever QUIT is answered
            smtp.quit()
        smtp.close()


def answer_of(error: Exception) -> str:
    """The server's answer, or what went wrong, in a few words."""
    if isinstance(error, smtplib.SMTPResponseException):
        return _coded(error.smtp_code, error.smtp_error)
    return str(error)[:LONGEST] if isinstance(error, MailError) else type(error).__name__


def _coded(code: int, text: bytes | str) -> str:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return " ".join(f"{code} {words}".split())[:LONGEST]
