"""The menu matrix: items by popularity and margin, and what to do with each of the four kinds."""

from __future__ import annotations

from flask import Blueprint, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from errors import RequestError
from kinds.menu import results
from kinds.menu.matrix import MatrixItem, MenuMatrix, menu_matrix
from store.published import published
from webhook.described import query
from webhook.menu_matrix import MatrixQuery
from webhook.pages import charts
from webhook.pages.frame import page, read, words
from webhook.pages.names import MATRIX
from webhook.problems import Problem

blueprint = Blueprint("matrix", __name__)


@blueprint.get("/menu/matrix")
def show() -> Response:
    """The page, for one daypart or all together."""
    params = query(MatrixQuery)

    def build(session: Session) -> Response:
        state = published(session, "menu")
        if state is None:
            return page("matrix.html", state=None)
        dayparts = (state.run.plan or {}).get("dayparts", [])
        known = results.daypart_ids(state)
        if params.daytime_id is not None and params.daytime_id not in known:
            raise Problem(404, "daypart_not_found", f"There is no daypart {params.daytime_id}.")
        try:
            found = menu_matrix(session, state, known if params.daytime_id is None else [params.daytime_id])
        except RequestError as error:
            raise Problem(409, error.code, str(error)) from None
        placed = [item for item in found.items if item.kind is not None]
        return page(
            "matrix.html",
            state=state,
            params=params,
            dayparts=dayparts,
            matrix=found,
            kinds=MATRIX,
            by_kind={kind: [item for item in placed if item.kind == kind] for kind in MATRIX},
            without=[item for item in found.items if item.kind is None],
            picture=_picture(found, placed),
        )

    return read(build)


def _picture(found: MenuMatrix, placed: list[MatrixItem]) -> Markup:
    write = words()
    points = [
        charts.Point(
            x=item.share or 0.0,
            y=float(item.margin or 0),
            kind=str(item.kind),
            text=item.name or str(item.item_id),
            title=f"{item.name or item.item_id}: {write.share(item.share)}, {write.money(item.margin)}",
            link=url_for("pages.items.show", item_id=item.item_id),
        )
        for item in placed
    ]
    of_piece = write.text("Margin per piece") if found.by == "margin" else write.text("Price per piece")
    names = (write.text("Share of all pieces"), of_piece)
    label = write.text("Items by popularity and margin")
    return charts.scatter(points, found.popular_share, float(found.average_margin), names, label)
