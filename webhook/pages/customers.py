"""Customers: segments as numbers and charts, moves between them, and the list of customers."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Blueprint
from pydantic import Field
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kinds.clusters import results as clusters
from kinds.rfm import cells, listing, results
from kinds.rfm.cells import Total
from store.published import PublishedState, published
from webhook.described import query
from webhook.filters import CustomersFilter, from_cursor, to_cursor
from webhook.pages import segments
from webhook.pages.frame import page, read
from webhook.pages.periods import PERIODS, PeriodQuery

SHOWN = 50
SEARCHED = 1000  # customers that the search for the beginning of an id counts
FEW = 30  # customers; shares of fewer are unreliable
FLOWS_LISTED = 12

blueprint = Blueprint("customers", __name__)


class CustomersQuery(CustomersFilter, PeriodQuery):
    """Which customers to list, and over which period to show moves."""

    cursor: Annotated[str, Field(max_length=4096)] | None = None


@blueprint.get("/customers")
def show() -> Response:
    """Segments, scores and cut points over all customers, and a page of the list."""
    params = query(CustomersQuery)

    def build(session: Session) -> Response:
        state = published(session, "rfm")
        if state is None:
            return page("customers.html", state=None)
        found = cells.cells(session, state)
        totals = cells.by_segment(state, found)
        whole = sum(totals.values(), Total(0, 0))
        pairs = cells.by_recency_and_frequency(found)
        flows = segments.moves(session, state, int(params.days))
        return page(
            "customers.html",
            state=state,
            warnings=(state.run.counts or {}).get("warnings", []),
            totals=totals,
            whole=whole,
            few=whole.customers < FEW,
            treemap=segments.treemap(totals, whole),
            heat_map=segments.heat_map(pairs),
            changes=segments.changes(session, state, totals),
            flows=flows[:FLOWS_LISTED],
            flow_map=segments.flow_map(flows, list(totals)),
            flow_ends=(segments.start, segments.end),
            periods=PERIODS,
            pairs=pairs,
            scores=segments.SCORES,
            cut_points=results.cut_points(state),
            **_list(session, state, params),
        )

    return read(build)


def _list(session: Session, state: PublishedState, params: CustomersQuery) -> dict[str, Any]:
    """A page of the list: its customers, the number of all that match the filter, and the links."""
    wanted = params.of(state)
    profiles = clusters.profiles(session)
    listed = listing.Listing(session, wanted)
    listed.check_sort(params.sort)
    sortable = listed.sortable  # which may count more, and so all that is wanted here
    counted = listed.count(SEARCHED + 1)
    after = from_cursor(params.cursor, params.sort) if params.cursor else None
    rows = listed.page(params.sort, after=after, limit=SHOWN + 1)
    more = len(rows) > SHOWN
    overdue = None if wanted.overdue is None else str(wanted.overdue).lower()
    kept = {"segment": wanted.segment, "mobile_id_prefix": wanted.prefix, "cluster": wanted.cluster}
    kept |= {"overdue": overdue, "sort": params.sort}
    return {
        "params": params,
        "kept": {name: value for name, value in kept.items() if value not in (None, "", "mobile_id")},
        "clusters": profiles,
        "wanted": wanted,
        "counted": counted,
        "more_than": SEARCHED if not listed.counted_all and counted > SEARCHED else None,
        "most": listing.MOST_SORTED,
        "sortable": sortable,
        "customers": rows[:SHOWN],
        "next": to_cursor(listing.position(rows[SHOWN - 1], params.sort)) if more else None,
    }
