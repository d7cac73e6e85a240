"""The task that sends the morning mail; a sweep requests it while the mail is due."""

from __future__ import annotations

from worker.app import app, settings

SECONDS = 120  # for an attempt


@app.task(name="smartcrm.mail", ignore_result=True, soft_time_limit=SECONDS, time_limit=SECONDS + 30)
def mail() -> None:
    """Send today's morning mail, if it is due."""
    from reports.sending import send_due  # loads the pages

    send_due(settings)
