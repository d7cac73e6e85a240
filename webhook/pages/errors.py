"""Errors on pages: the API's problems, as a page."""

from __future__ import annotations

import structlog
from flask import Blueprint
from pydantic import ValidationError
from sqlalchemy.exc import DataError, TimeoutError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from errors import RequestError, SmartCRMError
from store.database import TRANSIENT
from store.schema import OutdatedError
from webhook.pages.frame import page
from webhook.problems import Problem, first_failure

AGAIN = {"Retry-After": "5"}
OUTDATED = "An upgrade is under way: the tables wait for “smartcrm migrate”."

log = structlog.get_logger("webhook")


def answer_as_pages(blueprint: Blueprint) -> None:
    """Answer every exception of these views with a page that has one clear sentence."""
    blueprint.register_error_handler(Problem, lambda problem: _page(problem.status, problem.detail, problem.headers))
    blueprint.register_error_handler(ValidationError, lambda error: _page(422, first_failure(error)))
    blueprint.register_error_handler(RequestError, lambda error: _page(422, str(error)))
    blueprint.register_error_handler(DataError, lambda _: _page(422, "A value can't be read."))
    blueprint.register_error_handler(OutdatedError, lambda _: _page(503, OUTDATED, AGAIN))
    blueprint.register_error_handler(HTTPException, lambda error: _page(error.code or 500, error.description or ""))
    for unreachable in (*TRANSIENT, TimeoutError, SmartCRMError):
        blueprint.register_error_handler(unreachable, _unreachable)
    blueprint.register_error_handler(Exception, _ours)


def _page(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    answer = page("error.html", status, detail=detail)
    answer.headers.update(headers or {})
    return answer


def _unreachable(error: Exception) -> Response:
    log.warning("database unavailable", reason=type(error).__name__)
    return _page(503, "PostgreSQL can't be reached; nothing was done. Try again in a moment.", AGAIN)


def _ours(error: Exception) -> Response:
    log.error("unhandled", exc_info=error)
    return _page(500, "Something went wrong on our side.")
