"""`/exports`: relations as streamed CSV, filtered as their lists are; for API tokens and for sessions of the pages.

A relation is one function here, registered by `@relation`. It returns the query for its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import chain
from typing import TypeVar

from flask import Blueprint, Response, current_app
from pydantic import BaseModel
from sqlalchemy.orm import Session

from kinds.rfm import listing
from kinds.trends import results as trends
from settings import Settings
from store.database import snapshot
from store.published import PublishedState, published
from store.queries import Query
from webhook.access import authorize
from webhook.described import described, query
from webhook.filters import CustomersFilter
from webhook.pages import sessions
from webhook.problems import Problem
from webhook.trends import SeriesFilter, SeriesRange, TrendsFilter

Filter = TypeVar("Filter", bound=BaseModel)
Relation = Callable[[Session, PublishedState, Filter], Query]

CSV = "text/csv"

blueprint = Blueprint("exports", __name__)


@blueprint.before_request
def _authorize() -> None:
    if sessions.role() is None:
        authorize()


def relation(kind: str, filtered_by: type[Filter]) -> Callable[[Relation[Filter]], Relation[Filter]]:
    """Register a function as `GET /exports/{its name}.csv`, over what is published of a kind.

    It is called in the snapshot that the rows are read from. A problem that it raises is the answer.
    """

    def register(rows: Relation[Filter]) -> Relation[Filter]:
        name = rows.__name__

        def exported() -> Response:
            settings: Settings = current_app.config["SETTINGS"]
            params = query(filtered_by)
            blocks = _blocks(settings.database_url, kind, lambda session, state: rows(session, state, params))
            first = next(blocks)  # whatever can't be answered is raised here, before the answer begins
            headers = {"Content-Disposition": f"attachment; filename={name}.csv"}
            response = Response(chain((first,), blocks), headers=headers, mimetype=CSV)
            response.call_on_close(blocks.close)
            return response

        exported.__doc__ = rows.__doc__
        view = described(answer=None, media=CSV, query=filtered_by, problems=(404,))(exported)
        blueprint.add_url_rule(f"/exports/{name}.csv", endpoint=name, view_func=view)
        return rows

    return register


def _blocks(url: str, kind: str, rows: Callable[[Session, PublishedState], Query]) -> Generator[bytes]:
    with snapshot(url) as session:
        state = published(session, kind)
        if state is None:
            raise Problem(404, "no_results", f"No {kind} run has been published yet.")
        yield from rows(session, state).csv(session)


@relation("rfm", CustomersFilter)
def rfm_segments(session: Session, state: PublishedState, params: CustomersFilter) -> Query:
    """All customers that match a filter, as CSV with a header; columns and values as in `GET /rfm_segments`."""
    wanted = params.of(state)
    listing.check_sort(session, wanted, params.sort)
    return listing.export(wanted, params.sort)


@relation("trends", SeriesRange)
def metric_series(session: Session, state: PublishedState, params: SeriesRange) -> Query:
    """All values of the series that match a filter, as CSV with a header; columns as in `GET /series`."""
    return trends.series(state.generation, params.wanted())


@relation("trends", TrendsFilter)
def metric_trends(session: Session, state: PublishedState, params: TrendsFilter) -> Query:
    """All trends that match a filter, as CSV with a header; columns as in `GET /trends`."""
    return trends.exported_trends(state.generation, params.wanted(), params.direction)


@relation("trends", SeriesFilter)
def metric_forecasts(session: Session, state: PublishedState, params: SeriesFilter) -> Query:
    """All forecasts of the series that match a filter, as CSV with a header; columns as in `GET /forecasts`."""
    return trends.forecasts(state.generation, params.wanted())
