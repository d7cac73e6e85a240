"""`POST /webhooks/imports`: verify, validate, store, answer; in this order, and nothing else."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, Response, current_app, request

import kinds
from settings import Settings
from signatures import verified_id
from store import inbox
from webhook import refusals
from webhook.access import refuse
from webhook.bodies import received
from webhook.described import body, described
from webhook.models import AskedRuns, ImportEvent
from webhook.problems import Problem
from webhook.runs import accepted

blueprint = Blueprint("imports", __name__)


@blueprint.after_request
def count(response: Response) -> Response:
    """Count what was not accepted."""
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        settings: Settings = current_app.config["SETTINGS"]
        refusals.add(settings, response.get_json()["error_code"])
    return response


@blueprint.post("/webhooks/imports")
@described(answer=AskedRuns, status=202, body=ImportEvent, caller="signature", headers=("Location",))
def imports() -> Response:
    """Accept an import: its delivery and its runs are committed before the 202."""
    settings: Settings = current_app.config["SETTINGS"]
    webhook_id = verified_id(settings.webhook_secrets, received(), dict(request.headers))
    if webhook_id is None:
        refuse(Problem(401, "invalid_signature", "No configured secret signed this message in the last five minutes."))
    event = body(ImportEvent)
    data, ids = event.data, event.data.transaction_ids
    named = (ids.first, ids.last) if ids else None
    kept = event.model_dump(mode="json", by_alias=True)
    wanted = kinds.requested(settings, data.kinds, data.mode)
    asked = inbox.deliver(settings.database_url, "webhook", webhook_id, kept, wanted, data.mode, named_ids=named)
    return accepted(webhook_id, asked)
