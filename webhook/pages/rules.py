"""Rules: a dry run of a segment map, from a file or a form: counts and moves before it goes live."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from itertools import product
from typing import Any

from flask import Blueprint, current_app, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from errors import RequestError
from kinds.rfm.preview import Preview, map_of, preview
from kinds.rfm.results import cut_points
from settings import Settings
from store.database import snapshot
from store.published import PublishedState, published
from webhook.pages.frame import page, read

MOVES_SHOWN = 20
MEASURES = ("recency_days", "frequency", "monetary")
CODES = ["".join(code) for code in product("12345", repeat=3)]

blueprint = Blueprint("rules", __name__)


@blueprint.get("/rules")
def show() -> Response:
    """The published map in a form."""

    def build(session: Session) -> Response:
        state = published(session, "rfm")
        return page("rules.html", state=state, text=as_toml(state) if state else "", found=None, problem=None)

    return read(build)


@blueprint.post("/rules")
def dry_run() -> Response:
    """The map of the file or the form, beside the published one; nothing is stored."""
    settings: Settings = current_app.config["SETTINGS"]
    file = request.files.get("file")
    content = file.read() if file and file.filename else request.form.get("map", "").encode()
    text, found, problem = content.decode("utf-8", "replace"), None, None
    with snapshot(settings.database_url) as session:
        state = published(session, "rfm")
        if state is not None:
            try:
                found = preview(session, state, map_of(_tables(text)))
            except RequestError as error:
                problem = str(error)
    status = 422 if problem else 200
    return page("rules.html", status, state=state, text=text, found=found, problem=problem, moves=_moves(found))


def _tables(text: str) -> dict[str, Any]:
    """The file's tables.

    Raises
    ------
    RequestError
        When it is not TOML.
    """
    try:
        return tomllib.loads(text.replace("\r\n", "\n"), parse_float=Decimal)
    except ValueError as error:
        raise RequestError(f"The map can't be read as TOML: {error}.", code="invalid_map") from None


def _moves(found: Preview | None) -> list[Any]:
    return list(found.moves[:MOVES_SHOWN]) if found else []


def as_toml(state: PublishedState) -> str:
    """The published map as a file."""
    plan = state.run.plan or {}
    codes: dict[str, list[str]] = {}
    for code, segment in zip(CODES, plan["segments"], strict=True):
        codes.setdefault(segment, []).append(code)
    parts = ["[segments]", *(f"{_quoted(segment)} = {_quoted(' '.join(each))}" for segment, each in codes.items())]
    points = cut_points(state)
    own = [name for name in MEASURES if points[name].own]
    if own:
        parts += ["", "[cut_points]"]
        parts += [f"{name} = [{', '.join(f'{float(value):g}' for value in points[name].values)}]" for name in own]
    if points["monetary"].average:
        parts += ["", "[monetary]", 'measure = "average"']
    if plan.get("excluded"):
        parts += ["", "[exclude]", f"mobile_ids = [{', '.join(map(_quoted, plan['excluded']))}]"]
    return "\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in escaped) + '"'
