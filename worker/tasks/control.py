"""Tasks on `control`: advance a run, sweep unfinished runs, request the nightly runs and trainings."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import structlog
from celery import Task, chord
from sqlalchemy.orm import Session

import kinds
from broker.address import PREFIX
from kinds import requests, upkeep
from source.window import business_date_of
from store import events, inbox, mails, nights, runs, totals
from store.database import TRANSIENT, transaction
from store.models import Run
from worker import schedule, steering
from worker.app import app, settings
from worker.tasks.events import deliver
from worker.tasks.parts import RETRY

REPLY_KEPT = 60  # seconds; longer than any caller waits for a reply

log = structlog.get_logger("control")


@app.task(name="smartcrm.advance", bind=True, ignore_result=True, **RETRY)
def advance(self: Task, run_id: str) -> None:
    """Do the next step of one run, and send its parts."""
    _advance(uuid.UUID(run_id))


def _advance(run_id: uuid.UUID, *, from_sweep: bool = False) -> None:
    parts = steering.advance(settings, run_id, from_sweep=from_sweep)
    if parts:
        send_parts(run_id, parts)
        return
    for waiting in steering.following(settings, run_id):
        advance.delay(str(waiting))
    if settings.event_urls:
        deliver.delay()


def send_parts(run_id: uuid.UUID, parts: list[tuple[str, int]]) -> None:
    """Send a chord of these parts; it calls `advance` when all have ended, or one has failed."""
    with transaction(settings.database_url) as session:
        kind = session.get_one(Run, run_id).kind
    header = [
        app.signature(f"smartcrm.{kind}.{stage}", (str(run_id), part), immutable=True, options={"queue": "compute"})
        for stage, part in parts
    ]
    body = advance.si(str(run_id))
    chord(header)(body.on_error(advance.si(str(run_id))))


@app.task(name="smartcrm.sweep", ignore_result=True)
def sweep() -> None:
    """Start what is due, advance unfinished runs, drop retired generations, and add missing indexes.

    What fails is done by the next sweep, seconds later.
    """
    with transaction(settings.database_url) as session:
        unfinished, events_due = runs.unfinished(session), events.due(session)
        night_due = nights.due(session, _today(session))
        training = schedule.last_due(settings, nights.trained_for(session), runs.now(session))
        mail_due = settings.report_server is not None and mails.due(session, _today(session))
        totals.add(session, "sweeps")
    if night_due:
        nightly.delay()  # with every sweep until it is done, since its message may be lost
    elif training is not None:  # a nightly request includes the trainings that are due
        retrain.delay(training.isoformat())
    if mail_due:
        app.signature("smartcrm.mail").delay()  # in reports/, which renders the pages
    for run_id in unfinished:
        try:
            _advance(run_id, from_sweep=True)
        except TRANSIENT as error:
            log.warning("run waits", run_id=str(run_id), reason=type(error).__name__)
    if events_due:
        deliver.delay()
    upkeep.clear(settings.database_url)
    upkeep.index(settings.database_url)
    _let_late_replies_expire()


def _let_late_replies_expire() -> None:
    """Set an expiry on replies to remote control commands whose caller, a health check or Flower, has gone.

    Celery sets none until a caller reads them, so that unread ones would stay in Redis for ever.
    """
    with app.pool.acquire(block=True) as connection:
        client = connection.default_channel.client
        for key in client.scan_iter(f"{PREFIX}*.reply.celery.pidbox", count=1000):
            if client.ttl(key) == -1:
                client.expire(key, REPLY_KEPT)


@app.task(name="smartcrm.nightly", ignore_result=True, **RETRY)
def nightly() -> None:
    """Request full runs of the computed kinds, once per business day, and delete what is past its retention.

    On a day with a training, kinds that train get no full run. Their training is requested here if its time has come.
    """
    with transaction(settings.database_url) as session:
        today, now = _today(session), runs.now(session)
        computed = requests.computed(session, settings)
    training = schedule.of_day(settings, today)
    trains = {kind: "train" for kind in computed if training is not None and kinds.KINDS[kind].trains}
    if training is not None and training > now:
        computed, trains = [kind for kind in computed if kind not in trains], {}
    _request(today.isoformat(), {"type": "nightly", "business_date": today.isoformat()}, computed, "full", trains)
    with transaction(settings.database_url) as session:
        nights.mark_requested(session, today)
        if trains and training is not None:
            nights.mark_trained(session, training)
        upkeep.drop_old(session)


@app.task(name="smartcrm.retrain", ignore_result=True, **RETRY)
def retrain(moment: str) -> None:
    """Request the trainings of a scheduled time, once."""
    with transaction(settings.database_url) as session:
        computed = [kind for kind in requests.computed(session, settings) if kinds.KINDS[kind].trains]
    if computed:
        _request(f"training {moment}", {"type": "training", "time": moment}, computed, "train")
    with transaction(settings.database_url) as session:
        nights.mark_trained(session, datetime.fromisoformat(moment))


def _request(
    name: str, body: dict[str, Any], computed: Sequence[str], mode: str, modes: Mapping[str, str] = MappingProxyType({})
) -> None:
    for run in inbox.deliver(
        settings.database_url, "nightly", name, body, computed, mode, needs=kinds.needs(computed), modes=modes
    ):
        advance.delay(str(run.run_id))


def _today(session: Session) -> date:
    """The business date by the database's clock, which all hosts share."""
    return business_date_of(runs.now(session), settings.timezone, settings.business_day_start)
