"""Descriptions of views (query, body, answer, problems), from which the OpenAPI document is built."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Response, request
from pydantic import BaseModel

from store.database import StalePlanError
from webhook.bodies import received
from webhook.problems import Problem

View = TypeVar("View", bound=Callable[..., Response])
Model = TypeVar("Model", bound=BaseModel)

# How a query's values are written.
WRITTEN = {
    int: re.compile(r"-?\d+", re.ASCII),
    float: re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII),
    bool: re.compile("true|false"),
}


@dataclass(frozen=True)
class Description:
    """One operation: its models, the problems it may answer, and its authentication (`bearer`, `signature`).

    `media` is the type of an answer without a model. `unready` is the model of a 503 that is not a problem document;
    `headers` are those that the answer may have.
    `reads` marks a POST that changes nothing, which a token with `:read` may call.
    """

    status: int
    answer: type[BaseModel] | tuple[type[BaseModel], ...] | None
    media: str | None
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    problems: Sequence[int]
    caller: str | None
    cached: bool
    unready: type[BaseModel] | None
    headers: Sequence[str]
    reads: bool


_DESCRIPTIONS: dict[Callable[..., Any], Description] = {}


def described(
    *,
    answer: type[BaseModel] | tuple[type[BaseModel], ...] | None,
    media: str | None = None,
    status: int = 200,
    query: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    problems: Sequence[int] = (),
    caller: str | None = "bearer",
    cached: bool = False,
    unready: type[BaseModel] | None = None,
    headers: Sequence[str] = (),
    reads: bool = False,
) -> Callable[[View], View]:
    """Describe a view. It is called once more if a migration has just changed a table that it reads."""

    def attach(view: View) -> View:
        @wraps(view)
        def called(*args: Any, **kwargs: Any) -> Response:
            try:
                return view(*args, **kwargs)
            except StalePlanError:  # its transaction was rolled back
                return view(*args, **kwargs)

        _DESCRIPTIONS[called] = Description(
            status, answer, media, query, body, problems, caller, cached, unready, headers, reads
        )
        return cast(View, called)

    return attach


def description(view: Callable[..., Any]) -> Description | None:
    """A view's description, or None."""
    return _DESCRIPTIONS.get(view)


def query(model: type[Model]) -> Model:
    """The request's query, validated; an empty value counts as not given.

    Raises
    ------
    Problem
        422 when a number or truth value is not written as in JSON; pydantic takes `1.0` for 1, `1_0`, `yes` and spaces.
    """
    texts = {name: text for name, values in request.args.lists() if (text := next(filter(None, values), None))}
    found = model.model_validate(texts)
    for field, info in model.model_fields.items():
        value, name = getattr(found, field), info.alias or field
        if name in texts and type(value) in WRITTEN and not WRITTEN[type(value)].fullmatch(texts[name]):
            raise Problem(422, "invalid_request", f"{name} has to be written as {json.dumps(value)}.")
    return found


def body(model: type[Model], *, optional: bool = False) -> Model:
    """The request's JSON body, validated.

    Raises
    ------
    Problem
        415 when its Content-Type is another; without a Content-Type it is read as JSON.
    """
    if request.mimetype and request.mimetype != "application/json":
        raise Problem(415, "unsupported_media_type", "Send JSON, with Content-Type: application/json.")
    return model.model_validate_json(received() or (b"{}" if optional else b""))


def answered(model: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A model as a JSON response."""
    return Response(model.model_dump_json(), status, headers, mimetype="application/json")
