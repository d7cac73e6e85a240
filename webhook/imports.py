"""`POST /webhooks/imports`: verify the signature, validate the body, store the request, answer."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal, Self

from flask import Blueprint, Response, current_app, request
from pydantic import Field, model_validator

import kinds
from broker import counts
from kinds import requests
from settings import Settings
from signatures import verified_id
from store import inbox
from store.database import transaction
from webhook.access import redis_client, refuse
from webhook.bodies import received
from webhook.described import body, described
from webhook.models import DEFAULTS, PLAIN, BigInt, Body, Kind, Mode, Scalar
from webhook.problems import Problem
from webhook.runs import RequestedRuns, accepted

blueprint = Blueprint("imports", __name__)


class TransactionIds(Body):
    """A closed range of transaction ids that the import wrote; needed for orders with earlier dates."""

    first: BigInt = Field(alias="from")
    last: BigInt = Field(alias="to")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.first > self.last:
            raise ValueError("from is greater than to")
        return self


class ImportData(Body):
    """Details of an import, all optional."""

    import_id: Annotated[str, Field(max_length=256, pattern=PLAIN)] | Scalar | None = None
    kinds: list[Kind] | None = Field(default=None, min_length=1, max_length=10, description=f"By default {DEFAULTS}.")
    mode: Mode = "incremental"
    transaction_ids: TransactionIds | None = None


class ImportEvent(Body):
    """The body of `POST /webhooks/imports`."""

    type: Literal["import.completed"]
    timestamp: Annotated[str, Field(max_length=64, pattern=PLAIN)] | Scalar | None = Field(
        default=None, description="When it happened; stored unchanged, not used."
    )
    data: ImportData = Field(default_factory=ImportData)


@blueprint.after_request
def count(response: Response) -> Response:
    """Count refused deliveries by `error_code`, in Redis: anybody can cause them, so not in PostgreSQL."""
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        settings: Settings = current_app.config["SETTINGS"]
        counts.add(redis_client(settings.redis), "refused_deliveries", response.get_json()["error_code"])
    return response


@blueprint.post("/webhooks/imports")
@described(answer=RequestedRuns, status=202, body=ImportEvent, caller="signature", headers=("Location",))
def imports() -> Response:
    """Accept an import: the delivery and its runs are committed before the 202."""
    settings: Settings = current_app.config["SETTINGS"]
    webhook_id = verified_id(settings.webhook_secrets, received(), dict(request.headers))
    if webhook_id is None:
        refuse(Problem(401, "invalid_signature", "No configured secret signed this message in the last five minutes."))
    event = body(ImportEvent)
    data, ids = event.data, event.data.transaction_ids
    named = (ids.first, ids.last) if ids else None
    kept = event.model_dump(mode="json", by_alias=True)
    with transaction(settings.database_url) as session:
        wanted = requests.requested(session, settings, data.kinds, data.mode)
    requested = inbox.deliver(
        settings.database_url,
        "webhook",
        webhook_id,
        kept,
        wanted,
        data.mode,
        named_ids=named,
        needs=kinds.needs(wanted),
    )
    return accepted(webhook_id, requested)
