"""When trainings are due: the times of RETRAIN_SCHEDULE, in the restaurant's time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from cronsim import CronSim

from settings import Settings


def last_due(settings: Settings, since: datetime, now: datetime) -> datetime | None:
    """The last scheduled time after `since` that is not after `now`."""
    before = CronSim(settings.retrain_schedule, (now + timedelta(minutes=1)).astimezone(settings.zone), reverse=True)
    moment = next(before)
    while moment > now:
        moment = next(before)
    return moment if moment > since else None


def of_day(settings: Settings, today: date) -> datetime | None:
    """The first scheduled time of a business day."""
    begins, ends = (
        datetime.combine(day, settings.business_day_start, settings.zone) for day in (today, today + timedelta(days=1))
    )
    moment = next(CronSim(settings.retrain_schedule, begins - timedelta(seconds=1)))
    return moment if moment < ends else None
