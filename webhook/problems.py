"""Errors as `application/problem+json` (RFC 9457), each with a status, an `error_code` and one sentence."""

from __future__ import annotations

import json

import structlog
from flask import Flask, Response
from gunicorn.http.errors import NoMoreData, ParseException
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import DataError, TimeoutError
from werkzeug.exceptions import HTTPException

from errors import BusyError, RequestError, SmartCRMError, UnavailableError, sentence
from store.database import TRANSIENT
from webhook.connections import REQUEST_SECONDS, LateBody

log = structlog.get_logger("webhook")


class ProblemDocument(BaseModel):
    """A problem document (RFC 9457) with a stable `error_code`."""

    type: str
    title: str
    status: int
    detail: str
    error_code: str


class Problem(Exception):
    """An error to answer with a problem document."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, sentence(detail), headers or {}


# The error codes of each status, for the OpenAPI document.
MEANINGS = {
    400: "`bad_request`: not a valid HTTP request.",
    401: "`unauthorized`: no known token. `invalid_signature`: not signed with one of our secrets, or too long ago.",
    403: "`read_only_token`: a token with `:read` can't request runs.",
    404: "`run_not_found`, `customer_not_found`, `daypart_not_found`, `model_not_found`;"
    " `no_results`: nothing is published yet; `not_found`: no such path.",
    405: "`method_not_allowed`: see the `Allow` header.",
    408: f"`request_timeout`: the request did not arrive within {REQUEST_SECONDS:.0f} seconds.",
    409: "`run_finished`: it has ended already. `model_unusable`: what it was trained on no longer exists.",
    410: "`cursor_too_old`: changes after it were deleted; read all customers again.",
    413: "`body_too_large`: more than 64 kB.",
    415: "`unsupported_media_type`: send JSON, not compressed.",
    422: "`invalid_request`: the body or the query is not as described. `invalid_cursor`. `unknown_segment`."
    " `invalid_map`: the segment map is wrong; `detail` says where.",
    429: "`too_many_failures`: too many unauthorized requests; wait `Retry-After` seconds."
    " `too_many_waiting`: the largest allowed number of runs with an `as_of` is pending.",
    500: "`internal_error`: a bug in this program.",
    503: "`database_unavailable`: nothing was done; send it again after `Retry-After` seconds."
    " `schema_outdated`: an upgrade is under way; the tables need `smartcrm migrate`."
    " `run_busy`: another process has locked the run.",
}


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


def first_failure(error: ValidationError) -> str:
    """The first error of a body or a query, as one sentence."""
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"]) or "body"
    return sentence(f"{where}: {first['msg']}")


def register(app: Flask) -> None:
    """Turn every exception of the application into a problem document."""
    app.register_error_handler(Problem, lambda p: answer(p.status, p.code, p.detail, p.headers))
    app.register_error_handler(RequestError, lambda error: answer(422, error.code, str(error)))
    app.register_error_handler(BusyError, lambda error: answer(429, error.code, str(error), {"Retry-After": "30"}))
    app.register_error_handler(ValidationError, lambda error: answer(422, "invalid_request", first_failure(error)))
    app.register_error_handler(DataError, lambda _: answer(422, "invalid_request", "A value can not be stored."))
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(SmartCRMError, lambda error: answer(503, error.code, str(error), {"Retry-After": "5"}))
    app.register_error_handler(LateBody, _late)
    for broken in (ParseException, NoMoreData):
        app.register_error_handler(broken, lambda error: answer(400, "bad_request", unreadable(error)))
    for unreachable in (*TRANSIENT, TimeoutError):
        app.register_error_handler(unreachable, _unreachable)
    app.register_error_handler(UnavailableError, _unavailable)
    app.register_error_handler(Exception, _ours)


def _http(error: HTTPException) -> Response:
    names = {413: "body_too_large", 422: "invalid_request"}
    code = names.get(error.code or 500, (error.name or "error").lower().replace(" ", "_"))
    headers = {name: value for name, value in error.get_headers() if name.lower() in ("allow", "retry-after")}
    return answer(error.code or 500, code, (error.description or code).split("\n")[0], headers)


def unreadable(error: Exception) -> str:
    """The sentence for a malformed HTTP request, with gunicorn's message."""
    return f"This can't be read as an HTTP request: {str(error)[:200]}"


def _late(_: Exception) -> Response:
    return answer(408, "request_timeout", f"The body did not arrive within {REQUEST_SECONDS:.0f} seconds.")


def _unavailable(error: UnavailableError) -> Response:
    # The reason may name our hosts and users, so it goes to the log only.
    if error.code != UnavailableError.code:
        return answer(503, error.code, str(error), {"Retry-After": "5"})
    log.warning("database unavailable", reason=str(error))
    return _unreachable(error)


def _unreachable(_: Exception) -> Response:
    return answer(
        503,
        "database_unavailable",
        "PostgreSQL can't be reached; nothing was done. Send it again.",
        {"Retry-After": "5"},
    )


def _ours(error: Exception) -> Response:
    log.error("unhandled", exc_info=error)
    return answer(500, "internal_error", "Something went wrong on our side.")
