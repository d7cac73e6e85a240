"""Errors as `application/problem+json` (RFC 9457): every one has a status, a code and one clear sentence."""

from __future__ import annotations

import json

import structlog
from flask import Flask, Response
from pydantic import ValidationError
from sqlalchemy.exc import DataError, TimeoutError
from werkzeug.exceptions import HTTPException

from errors import RequestError, SmartCRMError
from store.database import TRANSIENT

log = structlog.get_logger("webhook")


class Problem(Exception):
    """An answer that is not the one hoped for."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers or {}


def answer(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    """A problem document."""
    body = {
        "type": "about:blank",
        "title": code.replace("_", " "),
        "status": status,
        "detail": detail,
        "error_code": code,
    }
    return Response(json.dumps(body), status, headers, mimetype="application/problem+json")


def first_fault(fault: ValidationError) -> str:
    """The first thing that is wrong with a body or a query, as one sentence."""
    first = fault.errors()[0]
    where = ".".join(str(step) for step in first["loc"]) or "body"
    return f"{where}: {first['msg']}."


def register(app: Flask) -> None:
    """Turn every exception of the application into a problem document."""
    app.register_error_handler(Problem, lambda p: answer(p.status, p.code, p.detail, p.headers))
    app.register_error_handler(RequestError, lambda fault: answer(422, fault.code, str(fault)))
    app.register_error_handler(ValidationError, lambda fault: answer(422, "invalid_request", first_fault(fault)))
    app.register_error_handler(DataError, lambda _: answer(422, "invalid_request", "A value can not be stored."))
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(SmartCRMError, lambda fault: answer(503, fault.code, str(fault), {"Retry-After": "5"}))
    for unreachable in (*TRANSIENT, TimeoutError):
        app.register_error_handler(unreachable, _unreachable)
    app.register_error_handler(Exception, _ours)


def _http(fault: HTTPException) -> Response:
    code = (fault.name or "error").lower().replace(" ", "_")
    headers = {name: value for name, value in fault.get_headers() if name.lower() in ("allow", "retry-after")}
    return answer(fault.code or 500, code, (fault.description or code).split("\n")[0], headers)


def _unreachable(_: Exception) -> Response:
    return answer(
        503,
        "database_unavailable",
        "PostgreSQL can't be reached; nothing was done. Send it again.",
        {"Retry-After": "5"},
    )


def _ours(fault: Exception) -> Response:
    log.error("unhandled", exc_info=fault)
    return answer(500, "internal_error", "Something went wrong on our side.")
