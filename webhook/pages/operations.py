"""Operations: the age of results, runs with their progress, and buttons that request and cancel runs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from flask import Blueprint, current_app, redirect, request, url_for
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

import kinds
from kinds import requests
from settings import Settings
from store import events, inbox, mails, runs, versions
from store.database import transaction
from store.models import ACTIVE
from store.published import published
from store.runs import RunState
from webhook import queues, sending
from webhook.described import query
from webhook.models import Kind, Mode, Status
from webhook.pages import links
from webhook.pages.frame import page, read
from webhook.pages.freshness import is_old
from webhook.runs import cancelled

SHOWN = 25
MODELS_SHOWN = 12
EVENTS_SHOWN = 10

blueprint = Blueprint("operations", __name__)


class OperationsQuery(BaseModel):
    """Which runs to list."""

    kind: Kind | None = None
    status: Status | None = None


class Request(BaseModel):
    """The form's request."""

    kind: Kind | Literal["all"] = "all"
    mode: Mode = Field(default="full")


@dataclass(frozen=True)
class ShownRun:
    """A row of the table of runs."""

    state: RunState
    seconds: float | None  # from its start to its end, or to now

    @property
    def active(self) -> bool:
        """Whether it is pending or running."""
        return self.state.run.status in ACTIVE

    @classmethod
    def of(cls, state: RunState, now: datetime) -> ShownRun:
        """The row for a run at this time of the database's clock."""
        run = state.run
        took = ((run.finished_at or now) - run.started_at).total_seconds() if run.started_at else None
        return cls(state, took)


@blueprint.get("/operations")
def show() -> Response:
    """The published results of each kind, and the newest runs."""
    return _page(query(OperationsQuery))


def _page(params: OperationsQuery, link: str | None = None) -> Response:
    settings: Settings = current_app.config["SETTINGS"]

    def build(session: Session) -> Response:
        now = runs.now(session)
        here = requests.computed(session, settings)
        current = [(name, published(session, name)) for name in here]
        found = runs.newest(session, kind=params.kind, status=params.status, limit=SHOWN)
        shown = [ShownRun.of(state, now) for state in found]
        return page(
            "operations.html",
            params=params,
            link=link,
            link_days=links.LASTS.days,
            results=[(name, state, is_old(state, now)) for name, state in current],
            runs=shown,
            active=any(each.active for each in shown),
            queues=queues.lengths(settings),
            models=versions.newest(session, limit=MODELS_SHOWN),
            events=events.newest(session, EVENTS_SHOWN) if settings.event_urls else [],
            has_receivers=bool(settings.event_urls),
            sends_mails=settings.report_server is not None,
            mail=mails.newest(session),
            sent_mail=mails.newest(session, state="sent"),
            modes=["full", "incremental", *(["train"] if any(kinds.KINDS[name].trains for name in here) else [])],
            flower=f"{request.scheme}://{request.host.rsplit(':', 1)[0]}:{settings.flower_port}/",
        )

    return read(build)


@blueprint.post("/operations/recompute")
def recompute() -> Response:
    """Request runs, as `POST /runs` does."""
    settings: Settings = current_app.config["SETTINGS"]
    params = Request.model_validate({name: value for name, value in request.form.items() if value})
    names = None if params.kind == "all" else [params.kind]
    with transaction(settings.database_url) as session:
        wanted = requests.requested(session, settings, names, params.mode, every=True)
    name, needs = f"api_{uuid.uuid4().hex}", kinds.needs(wanted)
    kept = {"kinds": wanted, "mode": params.mode}
    found = inbox.deliver(settings.database_url, "api", name, kept, wanted, params.mode, needs=needs)
    sending.advance(run.run_id for run in found if not run.joined)
    return redirect(url_for("pages.operations.show"), 303)


@blueprint.post("/operations/link")
def link() -> Response:
    """Show a link that logs in to look."""
    settings: Settings = current_app.config["SETTINGS"]
    return _page(OperationsQuery(), request.host_url.rstrip("/") + request.script_root + links.path(settings))


@blueprint.post("/operations/<uuid:run_id>/cancel")
def cancel(run_id: UUID) -> Response:
    """Cancel a run, as `POST /runs/{run_id}/cancel` does."""
    cancelled(run_id)
    return redirect(url_for("pages.operations.show"), 303)
