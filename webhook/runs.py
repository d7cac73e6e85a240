"""`GET /runs` and `GET /runs/{run_id}`: what was asked for and how far it is."""

from __future__ import annotations

import hmac
from uuid import UUID

from flask import Blueprint, Response, current_app, jsonify, request

from settings import Settings
from store import runs
from store.database import transaction
from webhook.models import is_finished, shown
from webhook.problems import Problem

blueprint = Blueprint("runs", __name__)


@blueprint.before_request
def authorize() -> None:
    """Let in who brings one of the API tokens; compared in constant time, all of them each time."""
    settings: Settings = current_app.config["SETTINGS"]
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    offered = token.strip().encode()
    matches = [hmac.compare_digest(offered, known.encode()) for known in settings.api_tokens]
    if scheme.lower() != "bearer" or not any(matches):
        raise Problem(
            401, "unauthorized", "Send Authorization: Bearer and one of API_TOKENS.", {"WWW-Authenticate": "Bearer"}
        )


@blueprint.get("/runs")
def list_runs() -> Response:
    """The newest runs, newest first; by delivery, kind and status."""
    settings: Settings = current_app.config["SETTINGS"]
    with transaction(settings.database_url) as session:
        found = runs.newest(
            session,
            kind=request.args.get("kind"),
            status=request.args.get("status"),
            delivery_id=request.args.get("webhook_id"),
        )
    return jsonify(runs=[shown(state) for state in found])


@blueprint.get("/runs/<uuid:run_id>")
def one_run(run_id: UUID) -> Response:
    """One run's state, with when to ask again while it is not finished."""
    settings: Settings = current_app.config["SETTINGS"]
    with transaction(settings.database_url) as session:
        state = runs.get(session, run_id)
    if state is None:
        raise Problem(404, "run_not_found", f"There is no run {run_id}.")
    answer = jsonify(shown(state))
    if not is_finished(state):
        answer.headers["Retry-After"] = "1"
    return answer
