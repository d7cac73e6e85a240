"""`/runs`: requesting, listing, reading and cancelling runs."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from flask import Blueprint, Response, current_app, request
from psycopg.errors import LockNotAvailable
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

import kinds
from errors import RequestError
from kinds import requests
from settings import Settings
from source.window import parse_as_of
from store import inbox, runs
from store.database import transaction
from store.models import Run
from store.runs import FINISHED, RunState
from webhook import sending
from webhook.access import authorize
from webhook.described import answered, body, described, query
from webhook.models import DEFAULTS, PLAIN, Body, Kind, Limit, Mode, Status
from webhook.problems import Problem

blueprint = Blueprint("runs", __name__)
blueprint.before_request(authorize)


class RunRequest(Body):
    """The body of `POST /runs`; it may be empty."""

    kinds: list[Kind] | None = Field(default=None, min_length=1, max_length=10, description=f"By default {DEFAULTS}.")
    mode: Mode = "full"
    as_of: str | None = Field(
        default=None,
        max_length=64,
        description="Count only orders up to this time. Without an offset it is in TIMEZONE; a date alone means its"
        " last instant. Such a run is always full.",
        examples=["2026-01-31", "2026-01-31T18:00:00+00:00"],
    )


class RunsQuery(BaseModel):
    """Which runs to list."""

    webhook_id: Annotated[str, Field(max_length=256, pattern=PLAIN)] | None = None
    kind: Kind | None = None
    status: Status | None = None
    limit: Limit = 50


class RequestedRun(BaseModel):
    """A run in the answer to its request."""

    run_id: UUID
    kind: Kind
    status: Status
    url: str

    @classmethod
    def of(cls, run: Run) -> RequestedRun:
        """Built from its row."""
        return cls.model_validate(_members(run))


class RequestedRuns(BaseModel):
    """The runs of a request; several requests may share a run."""

    runs: list[RequestedRun]


class ShownStage(BaseModel):
    """A stage of a run: the number of its parts, and how many are done."""

    stage: str
    parts: int
    done: int


class ShownRun(RequestedRun):
    """A run and its progress."""

    mode: Mode
    progress: float = Field(ge=0, le=1)
    stages: list[ShownStage] = Field(description="In order; empty before the run is planned, and a day after its end.")
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    as_of: datetime | None
    error_code: str | None
    error: str | None = Field(description="Why it failed or, while it is running, why it was last retried.")
    counts: dict[str, int]
    warnings: list[str] = Field(description="Findings for the restaurant's owner, each with what to do.")

    @classmethod
    def state(cls, state: RunState) -> ShownRun:
        """Built from its row and its stages."""
        run = state.run
        counts = {name: number for name, number in (run.counts or {}).items() if isinstance(number, int)}
        warnings = (run.counts or {}).get("warnings", [])
        times = {name: getattr(run, name) for name in ("requested_at", "started_at", "finished_at", "as_of")}
        stages = [{"stage": stage.name, "parts": stage.parts, "done": stage.done} for stage in state.stages]
        errors = {"error_code": run.error_code, "error": state.error}
        return cls.model_validate(
            _members(run)
            | times
            | errors
            | {"mode": run.mode, "progress": state.progress, "stages": stages, "counts": counts, "warnings": warnings}
        )


def _members(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "kind": run.kind,
        "status": run.status,
        "url": f"{request.script_root}/runs/{run.run_id}",
    }


class ShownRuns(BaseModel):
    """Runs, newest first."""

    runs: list[ShownRun]


@blueprint.post("/runs")
@described(answer=RequestedRuns, status=202, body=RunRequest, problems=(403,), headers=("Location",))
def ask() -> Response:
    """Request runs."""
    settings: Settings = current_app.config["SETTINGS"]
    given = body(RunRequest, optional=True)
    as_of: datetime | None = parse_as_of(given.as_of, settings.timezone) if given.as_of is not None else None
    name = f"api_{uuid.uuid4().hex}"
    kept = given.model_dump(mode="json")
    with transaction(settings.database_url) as session:
        wanted = requests.requested(session, settings, given.kinds, given.mode)
    needs = kinds.needs(wanted)
    return accepted(
        name, inbox.deliver(settings.database_url, "api", name, kept, wanted, given.mode, as_of=as_of, needs=needs)
    )


def accepted(delivery_id: str, requested: list[Run]) -> Response:
    """The 202 for requested runs, whose request is committed; sends a task message for each new run."""
    sending.advance(run.run_id for run in requested if not run.joined)
    shown = RequestedRuns(runs=[RequestedRun.of(run) for run in requested])
    return answered(shown, 202, {"Location": f"{request.script_root}/runs?webhook_id={quote(delivery_id, safe='')}"})


@blueprint.get("/runs")
@described(answer=ShownRuns, query=RunsQuery)
def list_runs() -> Response:
    """The newest runs, newest first; filtered by delivery, kind and status."""
    settings: Settings = current_app.config["SETTINGS"]
    params = query(RunsQuery)
    with transaction(settings.database_url) as session:
        found = runs.newest(
            session, kind=params.kind, status=params.status, delivery_id=params.webhook_id, limit=params.limit
        )
    return answered(ShownRuns(runs=[ShownRun.state(state) for state in found]))


@blueprint.get("/runs/<uuid:run_id>")
@described(answer=ShownRun, problems=(404,), headers=("Retry-After",))
def one_run(run_id: UUID) -> Response:
    """One run's state, with `Retry-After` while it is not finished."""
    settings: Settings = current_app.config["SETTINGS"]
    with transaction(settings.database_url) as session:
        state = runs.get(session, run_id)
    if state is None:
        raise Problem(404, "run_not_found", f"There is no run {run_id}.")
    headers = {} if state.run.status in FINISHED else {"Retry-After": "1"}
    return answered(ShownRun.state(state), headers=headers)


@blueprint.post("/runs/<uuid:run_id>/cancel")
@described(answer=ShownRun, problems=(403, 404, 409))
def cancel(run_id: UUID) -> Response:
    """Cancel a pending or running run; the published results stay."""
    return answered(ShownRun.state(cancelled(run_id)))


def cancelled(run_id: UUID) -> RunState:
    """The run's state once it is cancelled.

    Raises
    ------
    Problem
        404 where there is no such run, 409 where it has finished, 503 while it takes a step.
    """
    settings: Settings = current_app.config["SETTINGS"]
    try:
        with transaction(settings.database_url) as session:
            session.execute(text("SET LOCAL lock_timeout = '5s'"))
            runs.cancel(session, run_id)
            state = runs.get(session, run_id)
    except RequestError as error:
        status = {"run_not_found": 404, "run_finished": 409}[error.code]
        raise Problem(status, error.code, str(error)) from None
    except OperationalError as error:
        if not isinstance(error.orig, LockNotAvailable):
            raise
        detail = f"A worker has locked the run {run_id}; cancel it again."
        raise Problem(503, "run_busy", detail, {"Retry-After": "5"}) from None
    assert state is not None
    sending.advance([run_id])  # starts the runs that wait for it
    return state
