"""`/models`: versions of the kinds' models with their metrics and decisions, and promoting one."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from flask import Blueprint, Response, current_app
from pydantic import BaseModel, ConfigDict, Field

from errors import RequestError
from kinds import requests
from settings import Settings
from store import versions
from store.database import transaction
from webhook import sending
from webhook.access import authorize
from webhook.described import answered, described, query
from webhook.models import Kind, Limit
from webhook.problems import Problem
from webhook.runs import RequestedRun

blueprint = Blueprint("models", __name__)
blueprint.before_request(authorize)


class ModelsQuery(BaseModel):
    """Which versions to list."""

    kind: Kind | None = None
    limit: Limit = 50


class ShownModel(BaseModel):
    """A version of a kind's model."""

    model_config = ConfigDict(from_attributes=True)

    model_id: UUID
    kind: Kind
    version: int = Field(description="Rising per kind.")
    status: Literal["challenger", "champion", "retired", "rejected"]
    family: str
    params: dict[str, Any]
    trained_from: datetime | None
    trained_to: datetime
    seed: int
    data_fingerprint: str
    code_version: str
    metrics: dict[str, Any] = Field(description="Of champion, challenger and baseline on the same holdouts.")
    decision: str
    run_id: UUID
    created_at: datetime
    promoted_at: datetime | None


class ShownModels(BaseModel):
    """Versions, newest first."""

    models: list[ShownModel]


class PromotedModel(ShownModel):
    """The new champion, and the full run that publishes its results."""

    run: RequestedRun


@blueprint.get("/models")
@described(answer=ShownModels, query=ModelsQuery)
def list_models() -> Response:
    """Versions of the kinds' models, newest first."""
    settings: Settings = current_app.config["SETTINGS"]
    params = query(ModelsQuery)
    with transaction(settings.database_url) as session:
        found = versions.newest(session, params.kind, params.limit)
        return answered(ShownModels(models=[ShownModel.model_validate(each) for each in found]))


@blueprint.get("/models/<uuid:model_id>")
@described(answer=ShownModel, problems=(404,))
def one_model(model_id: UUID) -> Response:
    """One version."""
    settings: Settings = current_app.config["SETTINGS"]
    with transaction(settings.database_url) as session:
        found = versions.get(session, model_id)
        if found is None:
            raise _missing(model_id)
        return answered(ShownModel.model_validate(found))


@blueprint.post("/models/<uuid:model_id>/promote")
@described(answer=PromotedModel, problems=(403, 404, 409))
def promote(model_id: UUID) -> Response:
    """Make a version the champion, also an earlier one, and request the full run that publishes its results."""
    settings: Settings = current_app.config["SETTINGS"]
    with transaction(settings.database_url) as session:
        found = versions.get(session, model_id)
        if found is None:
            raise _missing(model_id)
        try:
            run = requests.put_in_service(session, settings, found)
        except RequestError as error:
            raise Problem(409 if error.code == "model_unusable" else 422, error.code, str(error)) from None
        shown = PromotedModel(**ShownModel.model_validate(found).model_dump(), run=RequestedRun.of(run))
    sending.advance([run.run_id])
    return answered(shown)


def _missing(model_id: UUID) -> Problem:
    return Problem(404, "model_not_found", f"There is no model {model_id}.")
