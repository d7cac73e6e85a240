"""`/exports`: relations as streamed CSV, filtered as their lists are; for API tokens and for sessions of the pages.

A relation is one function here, registered by `@relation`. It returns the query for its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from datetime import date
from itertools import chain
from typing import Annotated, Any, TypeVar

from flask import Blueprint, Response, current_app
from pydantic import BaseModel, Field, create_model
from sqlalchemy.orm import Session

from kinds.clusters import results as clusters
from kinds.menu import results as menu
from kinds.predictions import results as predictions
from kinds.recommendations import exports as recommendations
from kinds.rfm import results as rfm
from kinds.rfm.listing import Listing
from kinds.trends import results as trends
from settings import Settings
from store.database import snapshot
from store.published import PublishedState, published
from store.queries import Query
from webhook.access import authorize
from webhook.described import described, query
from webhook.filters import CustomersFilter
from webhook.models import BIGINT, PLAIN
from webhook.pages import sessions
from webhook.predictions import PredictionsFilter
from webhook.problems import Problem
from webhook.trends import SeriesFilter, SeriesRange, TrendsFilter

Filter = TypeVar("Filter", bound=BaseModel)
Relation = Callable[[Session, PublishedState, Filter], Query]

CSV = "text/csv"
Whole = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Name = Annotated[str, Field(max_length=256, pattern=PLAIN)]

blueprint = Blueprint("exports", __name__)


@blueprint.before_request
def _authorize() -> None:
    if sessions.role() is None:
        authorize()


def relation(
    kind: str, filtered_by: type[Filter], problems: Sequence[int] = (404,)
) -> Callable[[Relation[Filter]], Relation[Filter]]:
    """Register a function as `GET /exports/{its name}.csv`, over what is published of a kind.

    It is called in the snapshot that the rows are read from. A problem that it raises is the answer.
    """

    def register(rows: Relation[Filter]) -> Relation[Filter]:
        name = rows.__name__
        asked: type[Any] = create_model(filtered_by.__name__, __base__=(filtered_by, ForSpreadsheet))

        def exported() -> Response:
            settings: Settings = current_app.config["SETTINGS"]
            params = query(asked)
            blocks = _blocks(
                settings.database_url,
                kind,
                lambda session, state: rows(session, state, params),
                for_excel=params.for_excel,
            )
            first = next(blocks)  # whatever can't be answered is raised here, before the answer begins
            headers = {"Content-Disposition": f"attachment; filename={name}.csv"}
            response = Response(chain((first,), blocks), headers=headers, mimetype=CSV)
            response.call_on_close(blocks.close)
            return response

        exported.__doc__ = rows.__doc__
        view = described(answer=None, media=CSV, query=asked, problems=problems)(exported)
        blueprint.add_url_rule(f"/exports/{name}.csv", endpoint=name, view_func=view)
        return rows

    return register


def _blocks(
    url: str, kind: str, rows: Callable[[Session, PublishedState], Query], *, for_excel: bool
) -> Generator[bytes]:
    with snapshot(url) as session:
        state = published(session, kind)
        if state is None:
            raise Problem(404, "no_results", f"No {kind} run has been published yet.")
        found = rows(session, state)
        yield from found.spreadsheet(session) if for_excel else found.csv(session)


class ForSpreadsheet(BaseModel):
    """How to write the rows."""

    for_excel: bool = Field(
        default=False, description="Make spreadsheets read ids and names as text: no formula, no lost digit."
    )


class Everything(BaseModel):
    """No filter."""


class ChangesFilter(BaseModel):
    """After which change to start."""

    after: Annotated[int, Field(ge=0, lt=BIGINT)] | None = None


class HistoryFilter(BaseModel):
    """Which segment, over which business dates."""

    segment: Name | None = None
    from_: date | None = Field(default=None, alias="from")
    to: date | None = None


class ClusterFilter(BaseModel):
    """Which cluster."""

    cluster: Whole | None = None


class DaypartFilter(BaseModel):
    """Which daypart."""

    daytime_id: Whole | None = None


class PicksFilter(DaypartFilter):
    """Which segment and daypart."""

    segment: Name | None = None


@relation("rfm", CustomersFilter)
def rfm_segments(session: Session, state: PublishedState, params: CustomersFilter) -> Query:
    """All customers that match a filter, as CSV with a header; columns and values as in `GET /rfm_segments`."""
    listed = Listing(session, params.of(state))
    listed.check_sort(params.sort)
    return listed.export(params.sort)


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


@relation("rfm", ChangesFilter, problems=(404, 410))
def segment_changes(session: Session, state: PublishedState, params: ChangesFilter) -> Query:
    """All stored changes of segment after one, as CSV with a header, oldest first; as in `GET /segment_changes`."""
    if params.after is not None and params.after < state.changes_dropped_to:
        raise Problem(410, "cursor_too_old", "Changes after this one were deleted; read all customers again.")
    return rfm.exported_changes(params.after)


@relation("rfm", HistoryFilter)
def segment_history(session: Session, state: PublishedState, params: HistoryFilter) -> Query:
    """Customers and revenue of each segment by business date, as CSV with a header."""
    return rfm.exported_history(params.segment, params.from_, params.to)


@relation("predictions", PredictionsFilter)
def customer_predictions(session: Session, state: PublishedState, params: PredictionsFilter) -> Query:
    """All predictions that match a filter, as CSV with a header; columns and values as in `GET /predictions`."""
    return predictions.export(params.wanted(session))


@relation("clusters", ClusterFilter)
def customer_clusters(session: Session, state: PublishedState, params: ClusterFilter) -> Query:
    """All customers with their cluster, or those of one, as CSV with a header."""
    return clusters.export(params.cluster)


@relation("clusters", Everything)
def cluster_profiles(session: Session, state: PublishedState, params: Everything) -> Query:
    """All clusters, as CSV with a header; `features` is JSON."""
    return clusters.exported_profiles()


@relation("menu", DaypartFilter)
def menu_recommendation(session: Session, state: PublishedState, params: DaypartFilter) -> Query:
    """The ranked items of a daypart, or of all, as CSV with a header."""
    return menu.export(params.daytime_id)


@relation("recommendations", PicksFilter)
def segment_recommendation(session: Session, state: PublishedState, params: PicksFilter) -> Query:
    """What a segment orders in a daypart, or all of them in all, as CSV with a header."""
    return recommendations.picks(params.segment, params.daytime_id)


@relation("recommendations", Everything)
def recommendation_quality(session: Session, state: PublishedState, params: Everything) -> Query:
    """The quality of each method in the backtest of every full run, as CSV with a header, newest run first."""
    return recommendations.quality()
