"""`POST /webhooks/imports`: verify, validate, store, answer; in this order, and nothing else."""

from __future__ import annotations

from urllib.parse import quote

from flask import Blueprint, Response, current_app, jsonify, request
from pydantic import ValidationError

from settings import Settings
from store import runs
from store.database import transaction
from store.runs import RunState
from webhook import sending
from webhook.models import ImportEvent, asked
from webhook.problems import Problem, first_fault
from webhook.signatures import verified_id

blueprint = Blueprint("imports", __name__)


@blueprint.post("/webhooks/imports")
def imports() -> Response:
    """Accept an import: its delivery and its runs are committed before the 202."""
    settings: Settings = current_app.config["SETTINGS"]
    webhook_id = verified_id(settings.webhook_secrets, request.get_data(), dict(request.headers))
    if webhook_id is None:
        raise Problem(401, "invalid_signature", "No configured secret signed this message in the last five minutes.")
    try:
        event = ImportEvent.model_validate_json(request.get_data())
    except ValidationError as fault:
        raise Problem(422, "invalid_body", first_fault(fault)) from None
    with transaction(settings.database_url) as session:
        body = event.model_dump(mode="json", by_alias=True)
        wanted = runs.deliver(session, webhook_id, body, event.data.kinds, event.data.mode)
    sending.advance(run.run_id for run in wanted if run.status == "pending")
    answer = jsonify(runs=[asked(RunState(run, 0, 0)) for run in wanted])
    answer.status_code = 202
    answer.headers["Location"] = f"/runs?webhook_id={quote(webhook_id, safe='')}"
    return answer
