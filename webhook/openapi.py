"""The OpenAPI 3.1 document, built from the views' descriptions, and its page, with all its files from this server."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from webhook import events
from webhook.described import Description, described, description
from webhook.events import RunEvent
from webhook.problems import MEANINGS, Problem, ProblemDocument

blueprint = Blueprint("openapi", __name__)
REF = "#/components/schemas/{model}"
PAGE_FILES = {"swagger_bundle.js": "text/javascript", "swagger_style.css": "text/css"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Its links are relative, so that it works under a path prefix.
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>SmartCRM Analytics API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger_style.css">
<div id="page"></div>
<script src="docs/swagger_bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null});\n'
INTRODUCTION = """\
Send each import to `POST /webhooks/imports`, follow its runs, and read the results.

Every error is a problem document (RFC 9457) with a stable `error_code`. Reads of results have an `ETag` of the
published state: send it back in `If-None-Match` to get 304 while nothing has changed. A member that is null, or an
empty query value, counts as not given.
"""
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "One of `API_TOKENS`."},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "As in Standard Webhooks, with `webhook-id` and `webhook-timestamp`.",
    },
}
SIGNED_HEADERS = ("webhook-id", "webhook-timestamp")
LICENCE = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}
HEADERS = {
    "ETag": "Of the published state, for `If-None-Match`.",
    "Location": "URL of the list of this request's runs.",
    "Retry-After": "Seconds to wait before the next request.",
    "WWW-Authenticate": "The authentication scheme.",
}
PROBLEM_HEADERS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


@blueprint.get("/openapi.json")
@described(answer=None, caller=None)
def openapi() -> Response:
    """This document."""
    return jsonify(document(current_app, request.script_root))


@blueprint.get("/docs")
@described(answer=None, caller=None)
def page() -> Response:
    """This document as a page."""
    return _page_file(PAGE, "text/html")


@blueprint.get("/docs/<name>")
def page_file(name: str) -> Response:
    """The page's files."""
    if name == "start.js":
        return _page_file(START, "text/javascript")
    if name not in PAGE_FILES:
        raise Problem(404, "not_found", "There is no such file.")
    return _page_file((resources.files("offapi") / name).read_text("utf-8"), PAGE_FILES[name])


def _page_file(text: str, mimetype: str) -> Response:
    headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "public, max-age=3600"}
    return Response(text, headers=headers, mimetype=mimetype)


def document(app: Flask, prefix: str = "") -> dict[str, Any]:
    """The application's operations as an OpenAPI document; `prefix` is the path under which callers reach them."""
    operations = [
        (rule, method.lower(), spec)
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        if (spec := description(app.view_functions[rule.endpoint]))
    ]
    schemas = _Schemas([spec for _, _, spec in operations])
    paths: dict[str, Any] = {}
    for rule, method, spec in operations:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        in_path = [_path_parameter(name, rule.rule) for name in sorted(rule.arguments)]
        summary = (app.view_functions[rule.endpoint].__doc__ or "").strip()
        paths.setdefault(path, {})[method] = _operation(rule.endpoint, summary, spec, in_path, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SmartCRM Analytics",
            "summary": "Customer segments and menu rankings from a restaurant's orders.",
            "version": "0.1.0",
            "description": INTRODUCTION,
            "license": LICENCE,
        },
        "servers": [{"url": prefix or "/"}],
        "paths": dict(sorted(paths.items())),
        "webhooks": {"run.finished": {"post": _outgoing(schemas)}},
        "components": {"schemas": schemas.definitions, "securitySchemes": SECURITY},
    }


class _Schemas:
    """The schemas of all models: bodies and queries for validation, answers for serialization."""

    def __init__(self, operations: list[Description]) -> None:
        wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {
            (model, "serialization"): None for model in (ProblemDocument, RunEvent)
        }
        for spec in operations:
            wanted |= {(model, "validation"): None for model in (spec.body, spec.query) if model}
            wanted |= {(model, "serialization"): None for model in _models(spec)}
        self.refs, definitions = models_json_schema(list(wanted), ref_template=REF)
        self.definitions = definitions["$defs"]

    def answer(self, spec: Description) -> dict[str, Any]:
        refs = [dict(self.refs[model, "serialization"]) for model in _models(spec)]
        return refs[0] if len(refs) == 1 else {"anyOf": refs}

    def problem(self) -> dict[str, Any]:
        return {"application/problem+json": {"schema": dict(self.refs[ProblemDocument, "serialization"])}}

    def query(self, model: type[BaseModel]) -> list[dict[str, Any]]:
        schema = self.definitions[str(self.refs[model, "validation"]["$ref"]).rsplit("/", 1)[1]]
        return [
            {"name": name, "in": "query", "required": False, "schema": _without_null(each)}
            for name, each in schema["properties"].items()
        ]


def _models(spec: Description) -> tuple[type[BaseModel], ...]:
    return spec.answer if isinstance(spec.answer, tuple) else (spec.answer,) if spec.answer else ()


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without null: a query parameter can't be null, only absent."""
    some = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    kept = {name: each for name, each in schema.items() if name not in ("anyOf", "title") and each is not None}
    return kept | some[0] if len(some) == 1 else kept


def _path_parameter(name: str, rule: str) -> dict[str, Any]:
    form = {"type": "string", "format": "uuid"} if f"<uuid:{name}>" in rule else {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": form}


def _header_parameters(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "header", "required": True, "schema": {"type": "string"}} for name in names]


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]


def _answer(description: str, *headers: str) -> dict[str, Any]:
    response: dict[str, Any] = {"description": description}
    if headers:
        response["headers"] = {name: {"description": HEADERS[name], "schema": {"type": "string"}} for name in headers}
    return response


def _outgoing(schemas: _Schemas) -> dict[str, Any]:
    """The operation of a receiver of our events."""
    schema = dict(schemas.refs[RunEvent, "serialization"])
    return {
        "operationId": "receive_run_event",
        "summary": _first_line(RunEvent.__doc__),
        "parameters": _header_parameters(*SIGNED_HEADERS, "webhook-signature"),
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {status: {"description": text} for status, text in events.ANSWERS.items()},
    }


def _operation(
    name: str, summary: str, spec: Description, in_path: list[dict[str, Any]], schemas: _Schemas
) -> dict[str, Any]:
    summary = summary.splitlines()[0]
    models = [_first_line(model.__doc__) for model in _models(spec)]
    etag = ("ETag",) if spec.cached else ()
    answers: dict[str, Any] = {str(spec.status): _answer(" Or: ".join(models) or summary, *etag, *spec.headers)}
    if spec.answer:
        answers[str(spec.status)]["content"] = {"application/json": {"schema": schemas.answer(spec)}}
    if spec.media:
        answers[str(spec.status)]["content"] = {spec.media: {"schema": {"type": "string"}}}
    if spec.cached:
        answers["304"] = _answer("Nothing has changed since the `ETag` of the request.", "ETag")
    guarded = (401, 429) if spec.caller else ()
    checked = (422,) if spec.query or spec.body else ()
    read = (408, 413, 415) if spec.body else ()
    for status in sorted({*spec.problems, *guarded, *checked, *read, 400, 500, 503}):
        headers = () if status == 401 and spec.caller == "signature" else PROBLEM_HEADERS.get(status, ())
        answers[str(status)] = _answer(MEANINGS[status], *headers) | {"content": schemas.problem()}
    if spec.unready:
        content = {"application/json": {"schema": dict(schemas.refs[spec.unready, "serialization"])}}
        unready = _answer("Not able to serve; the body says which part is down.", "Retry-After")
        answers["503"] = unready | {"content": content}
    signed = _header_parameters(*SIGNED_HEADERS) if spec.caller == "signature" else []
    operation: dict[str, Any] = {
        "operationId": name.replace(".", "_"),
        "tags": [name.partition(".")[0]],
        "summary": summary,
        "parameters": [*in_path, *(schemas.query(spec.query) if spec.query else []), *signed],
        "responses": answers,
        "security": [{spec.caller: []}] if spec.caller else [],
    }
    if spec.body:
        required = spec.caller == "signature"
        reference = dict(schemas.refs[spec.body, "validation"])
        operation["requestBody"] = {"required": required, "content": {"application/json": {"schema": reference}}}
    return operation
