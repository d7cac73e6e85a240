"""What a view takes and answers, said once: the views validate by it and the OpenAPI document is made of it."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Description:
    """One operation: its models, the problems it may answer, and who may call it (`bearer`, `signature`).

    `unready` is what a 503 holds in place of a problem document, `headers` are those that the answer may have. `reads`
    says that a POST changes nothing, so that a token for reading serves.
    """

    status: int
    answer: type[BaseModel] | tuple[type[BaseModel], ...] | None
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
    """Describe a view; where a migration has changed what it reads, it is called once more, on a fresh plan."""

    def attach(view: View) -> View:
        @wraps(view)
        def called(*args: Any, **kwargs: Any) -> Response:
            try:
                return view(*args, **kwargs)
            except StalePlanError:  # its transaction did nothing
                return view(*args, **kwargs)

        _DESCRIPTIONS[called] = Description(
            status, answer, query, body, problems, caller, cached, unready, headers, reads
        )
        return cast(View, called)

    return attach


def description(view: Callable[..., Any]) -> Description | None:
    """What is said of a view, if anything."""
    return _DESCRIPTIONS.get(view)


def query(model: type[Model]) -> Model:
    """The request's query, validated; a value that is empty is one that is not given."""
    given = ((name, next(filter(None, values), None)) for name, values in request.args.lists())
    return model.model_validate({name: value for name, value in given if value})


def body(model: type[Model], *, optional: bool = False) -> Model:
    """The request's JSON body, validated.

    Raises
    ------
    Problem
        415 where its declared type is another; a sender that declares none is believed.
    """
    if request.mimetype and request.mimetype != "application/json":
        raise Problem(415, "unsupported_media_type", "Send JSON, with Content-Type: application/json.")
    return model.model_validate_json(received() or (b"{}" if optional else b""))


def answered(model: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The answer as JSON."""
    return Response(model.model_dump_json(), status, headers, mimetype="application/json")
