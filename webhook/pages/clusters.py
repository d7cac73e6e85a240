"""Clusters: their profiles as bars against the average customer, their customers, and their names."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, current_app, redirect, url_for
from flask import request as sent
from markupsafe import Markup
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kinds.clusters import results
from settings import Settings
from store.database import transaction
from store.published import published
from webhook.pages import charts
from webhook.pages.frame import page, read, words
from webhook.pages.names import FEATURES

FEW = 30  # customers; what is said of fewer is unreliable
NOTED = 0.25  # standard deviations; smaller differences are left out

blueprint = Blueprint("clusters", __name__)


class NewName(BaseModel):
    """The form's name."""

    name: Annotated[str, Field(max_length=results.LONGEST_NAME)] = ""


@blueprint.get("/views/clusters")
def show() -> Response:
    """The page."""

    def build(session: Session) -> Response:
        state = published(session, "clusters")
        lacking = results.too_little_data(state) if state else None
        profiles = results.profiles(session) if state and lacking is None else []
        # All customers less those in clusters; an incremental run has counted the changed ones alone.
        all_of_them = (state.run.counts or {}).get("assigned") if state and state.run.mode != "incremental" else None
        most = max((abs(value) for profile in profiles for value in profile.features.values()), default=0)
        unclustered = None if all_of_them is None else all_of_them - sum(profile.customers for profile in profiles)
        return page(
            "clusters.html",
            state=state,
            lacking=lacking,
            clusters=[(profile, _bars(words().cluster(profile.name), profile.features, most)) for profile in profiles],
            unclustered=unclustered,
            few=FEW,
            feature=feature,
            longest=results.LONGEST_NAME,
        )

    return read(build)


def _bars(name: str, features: dict[str, float], most: float) -> Markup:
    """The features in which a cluster differs from the median customer, in standard deviations, strongest first.

    `most` is the largest of all clusters, so that their bars can be compared.
    """
    write = words()
    noted = [(key, value) for key, value in features.items() if abs(value) >= NOTED]
    bars = [
        charts.Deviation(feature(key), value, write.deviation(value), f"{feature(key)}: {write.deviation(value)}")
        for key, value in sorted(noted, key=lambda each: (-abs(each[1]), each[0]))
    ]
    return charts.deviations(bars, most, write.text("“%(name)s” against the average customer", name=name))


def feature(key: str) -> str:
    """A feature's name in words."""
    kind, _, of = key.partition(":")
    return words().own(of) if of else words().text(FEATURES.get(kind, kind))


@blueprint.post("/views/clusters/<int:cluster_id>")
def rename(cluster_id: int) -> Response:
    """Give a cluster another name, as `POST /clusters/{cluster_id}` does."""
    settings: Settings = current_app.config["SETTINGS"]
    wanted = NewName.model_validate({"name": sent.form.get("name", "")})
    with transaction(settings.database_url) as session:
        results.rename(session, cluster_id, wanted.name)
    return redirect(url_for("pages.clusters.show"), 303)
