"""`/clusters`: the clusters, their customers, and their names."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from flask import Blueprint, Response, current_app
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from errors import RequestError
from kinds.clusters import results
from settings import Settings
from store.database import snapshot, transaction
from store.published import PublishedState
from webhook.access import authorize
from webhook.cursors import closed, opened
from webhook.described import answered, body, described, query
from webhook.models import PLAIN, Body, Limit, TooLittleData
from webhook.problems import Problem
from webhook.reading import read

blueprint = Blueprint("clusters", __name__)
blueprint.before_request(authorize)

KIND = "clusters"


class MembersQuery(BaseModel):
    """The page of customers."""

    limit: Limit = 100
    cursor: Annotated[str, Field(max_length=4096)] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )


class NewName(Body):
    """A cluster's new name."""

    name: Annotated[str, Field(min_length=1, max_length=results.LONGEST_NAME, pattern=PLAIN)]


class ClusterProfile(BaseModel):
    """A row of `cluster_profiles`."""

    model_config = ConfigDict(from_attributes=True)

    cluster_id: int = Field(description="Kept across trainings, and never used for another cluster.")
    name: str
    description: str
    customers: int
    share: float = Field(description="Of the customers that are in a cluster.")
    features: dict[str, float] = Field(
        description="The cluster's centre, in standard deviations from the median; what is largely chance counts less."
    )
    stability: float = Field(description="Mean adjusted Rand index of clusters refitted to half of the customers.")


class ClusterList(BaseModel):
    """All clusters, by id."""

    run_id: UUID
    as_of: datetime
    unclustered: int = Field(description="Customers who came once, and are in no cluster.")
    clusters: list[ClusterProfile]


class Member(BaseModel):
    """A row of `customer_clusters`."""

    model_config = ConfigDict(from_attributes=True)

    mobile_id: str
    cluster_id: int
    distance: float = Field(description="To the cluster's centre, in standard deviations.")
    model_version: int
    run_id: UUID = Field(description="The run that last wrote the row.")
    computed_at: datetime


class MemberPage(BaseModel):
    """A cluster's customers in order of their ids."""

    run_id: UUID
    as_of: datetime
    customers: list[Member]
    next_cursor: str | None


@blueprint.get("/clusters")
@described(answer=(ClusterList, TooLittleData), problems=(404,), cached=True)
def clusters() -> Response:
    """The clusters with their number of customers, name and description."""

    def answer(session: Session, state: PublishedState) -> BaseModel:
        lacking = results.too_little_data(state)
        if lacking is not None:
            return TooLittleData(**lacking)
        return ClusterList(
            run_id=state.run.run_id,
            as_of=state.as_of,
            unclustered=results.unclustered(session),
            clusters=[ClusterProfile.model_validate(row) for row in results.profiles(session)],
        )

    settings: Settings = current_app.config["SETTINGS"]
    with snapshot(settings.database_url) as session:
        names = results.names_tag(session)
    return read(KIND, answer, also=names)


@blueprint.get("/clusters/<int:cluster_id>/customers")
@described(answer=(MemberPage, TooLittleData), query=MembersQuery, problems=(404,), cached=True)
def cluster_customers(cluster_id: int) -> Response:
    """A cluster's customers, page by page."""
    asked = query(MembersQuery)
    after = opened(asked.cursor) if asked.cursor else None

    def answer(session: Session, state: PublishedState) -> BaseModel:
        lacking = results.too_little_data(state)
        if lacking is not None:
            return TooLittleData(**lacking)
        if cluster_id not in {row.cluster_id for row in results.profiles(session)}:
            raise Problem(404, "cluster_not_found", f"There is no cluster {cluster_id}.")
        rows = results.customers(session, cluster_id, after=after, limit=asked.limit + 1)
        page = [Member.model_validate(row) for row in rows[: asked.limit]]
        return MemberPage(
            run_id=state.run.run_id,
            as_of=state.as_of,
            customers=page,
            next_cursor=closed(page[-1].mobile_id) if len(rows) > asked.limit else None,
        )

    return read(KIND, answer)


@blueprint.post("/clusters/<int:cluster_id>")
@described(answer=ClusterProfile, body=NewName, problems=(403, 404))
def rename_cluster(cluster_id: int) -> Response:
    """Give a cluster another name, which it keeps across trainings."""
    settings: Settings = current_app.config["SETTINGS"]
    wanted = body(NewName)
    with transaction(settings.database_url) as session:
        try:
            row = results.rename(session, cluster_id, wanted.name)
        except RequestError as error:
            raise Problem(404 if error.code == "cluster_not_found" else 422, error.code, str(error)) from None
        return answered(ClusterProfile.model_validate(row))
