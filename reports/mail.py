"""The morning mail: the Morning page as HTML with a text part, and whether there is anything new to tell."""

from __future__ import annotations

from datetime import UTC, date, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from reports.markup import document, mailed
from reports.pages import Pages
from reports.plain import text_of
from settings import Settings
from store.mails import Attempt

STYLE = Path(__file__).parent / "mail.css"

# The last complete business date with orders: of the daily series, or of the customers where trends are not computed.
_DATA_UNTIL = """
SELECT greatest(
    (SELECT max(business_date) FROM metric_series
     WHERE metric = 'orders' AND dimension = '' AND value > 0 AND business_date < :today),
    (SELECT d.business_date - min(s.recency_days)
     FROM rfm_segments AS s, (SELECT CAST(plan->>'business_date' AS date) AS business_date FROM analytics_runs
       JOIN analytics_published USING (run_id) WHERE analytics_published.kind = 'rfm') AS d
     WHERE d.business_date - s.recency_days < :today GROUP BY d.business_date))
"""


def data_until(session: Session, today: date) -> date | None:
    """The last business date before today with orders in the published results; None without any."""
    found: date | None = session.scalar(text(_DATA_UNTIL), {"today": today})
    return found


def composed(settings: Settings, attempt: Attempt) -> EmailMessage:
    """The mail; the same attempt's date and id give it the same Message-ID."""
    server = settings.report_server
    assert server is not None
    pages = Pages(settings)
    body, words = mailed(pages.first()), pages.words
    sender = server.sender_of(settings.report_to)
    message = EmailMessage()
    message["Subject"] = f"{words.text('Morning')} · {words.day(attempt.business_date)}"
    message["From"], message["To"] = sender, ", ".join(settings.report_to)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{attempt.mail_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text_of(body))
    html = document(str(message["Subject"]), words.language, [STYLE.read_text()], "", body)
    message.add_alternative(html, subtype="html")
    return message
