"""Lists of published customers: filtered, sorted, page by page, or all of them as a stream of CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from errors import RequestError
from kinds.rfm.results import SEGMENT_COLUMNS
from source.window import today
from store.published import PublishedState
from store.queries import Query

Sort = Literal["mobile_id", "-monetary", "-frequency", "recency_days"]
_TIME = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
MOST_SORTED = 100_000  # customers; more are listed in order of their ids, which an index has
# Each order: the column of `rfm_results` that has it, its direction, and what a value of the view is in that column.
_ORDERS = {
    "-monetary": ("cents", "DESC", "(100 * CAST(%(value)s AS numeric))::bigint"),
    "-frequency": ("frequency", "DESC", "CAST(%(value)s AS int)"),
    "recency_days": ("last_day", "DESC", "%(today)s - CAST(%(value)s AS int)"),
}
# Indexes of a published generation's pieces, by name.
INDEXES = {
    f"by_{column}": f"(segment_number, {column} {direction}, mobile_id)" for column, direction, _ in _ORDERS.values()
}
_CONDITIONS = {
    "prefix": "r.mobile_id ^@ %(prefix)s",
    "cluster": (
        "EXISTS (SELECT FROM customer_clusters AS c WHERE c.mobile_id = r.mobile_id AND cluster_id = %(cluster)s)"
    ),
}
_OVERDUE = (
    "EXISTS (SELECT FROM customer_predictions AS p WHERE p.mobile_id = r.mobile_id AND overdue_since IS NOT NULL)"
)


@dataclass(frozen=True)
class Filter:
    """Which published customers: of a segment, spelled as the map does, whose ids begin so, of a cluster, overdue."""

    state: PublishedState
    segment: str | None = None
    prefix: str | None = None
    cluster: int | None = None
    overdue: bool | None = None

    @property
    def values(self) -> dict[str, str | int]:
        """What the conditions' places hold."""
        given = {"segment": self.segment, "prefix": self.prefix, "cluster": self.cluster}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def conditions(self) -> list[str]:
        """SQL conditions on customers `r`, with named places, except that of the segment."""
        overdue = [] if self.overdue is None else [_OVERDUE if self.overdue else f"NOT {_OVERDUE}"]
        return [condition for name, condition in _CONDITIONS.items() if name in self.values] + overdue


@dataclass(frozen=True)
class Position:
    """The last customer of a page: the value that is sorted by (None for the id alone), and the id."""

    value: str | None
    mobile_id: str


def _rows(wanted: Filter) -> tuple[str, dict[str, Any]]:
    """The filter's customers as rows of `rfm_results`, for which there are indexes, without columns."""
    run = wanted.state.run
    conditions, values = ["generation = %(generation)s"], {**wanted.values, "generation": wanted.state.generation}
    if wanted.segment is not None:
        conditions.append("segment_number = %(number)s")
        values["number"] = list(run.segment_names or ()).index(wanted.segment) + 1
    return f"FROM rfm_results AS r WHERE {' AND '.join(conditions + wanted.conditions)}", values


def count(session: Session, wanted: Filter, at_most: int) -> int:
    """How many customers there are, or `at_most`."""
    rows, values = _rows(wanted)
    text = f"SELECT count(*) FROM (SELECT {rows} LIMIT %(most)s) AS found"  # noqa: S608  # our own names
    ((found,),) = Query(text, {**values, "most": at_most}).rows(session)
    return int(found)


def check_sort(session: Session, wanted: Filter, sort: Sort) -> None:
    """Refuse a sort that would have to read too many customers.

    Raises
    ------
    RequestError
        When the order is none of an index, and more than `MOST_SORTED` customers are left.
    """
    if sort != "mobile_id" and count(session, wanted, MOST_SORTED + 1) > MOST_SORTED:
        raise RequestError(
            f"More than {MOST_SORTED:,} customers are left, which are sorted by mobile_id alone; filter for fewer."
        )


def page(
    session: Session, wanted: Filter, sort: Sort = "mobile_id", *, after: Position | None = None, limit: int
) -> Sequence[Any]:
    """Customers in the order of `sort`, equal ones by their ids, from the one that follows `after`.

    Their ids are found by an index of that order where there is one, and their rows by their ids.
    """
    rows, values = _rows(wanted)
    order, later = "mobile_id", "mobile_id > %(id)s"
    if sort != "mobile_id":
        column, direction, same = _ORDERS[sort]
        order = f"{column} {direction}, mobile_id"
        # The first comparison is what the index serves.
        later = f"{column} <= {same} AND ({column} < {same} OR {later})"
    if after is not None:
        rows = f"{rows} AND {later}"
        values |= {"id": after.mobile_id, "value": after.value or "0", "today": today(wanted.state.run.plan or {})}
    ids = f"SELECT mobile_id {rows} ORDER BY {order} LIMIT %(limit)s"
    found = f"SELECT {', '.join(SEGMENT_COLUMNS)} FROM rfm_segments WHERE mobile_id = ANY (ARRAY({ids}))"  # noqa: S608  # our own names
    return Query(f"{found} ORDER BY {_order(sort)}", {**values, "limit": limit}).rows(session)


def position(row: Any, sort: Sort) -> Position:
    """Where a page that ends with this customer ended."""
    return Position(None if sort == "mobile_id" else str(getattr(row, sort.removeprefix("-"))), row.mobile_id)


def _order(sort: Sort) -> str:
    column = sort.removeprefix("-")
    return "mobile_id" if sort == "mobile_id" else f"{column}{' DESC' if sort.startswith('-') else ''}, mobile_id"


def export(wanted: Filter, sort: Sort = "mobile_id") -> Query:
    """All customers of the filter, with times as the API writes them."""
    columns = [f"to_char({name}, '{_TIME}') AS {name}" if name.endswith("_at") else name for name in SEGMENT_COLUMNS]
    conditions = wanted.conditions + (["segment = %(segment)s"] if wanted.segment is not None else [])
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    text = f"SELECT {', '.join(columns)} FROM rfm_segments AS r {where} ORDER BY {_order(sort)}"  # noqa: S608  # our own names
    return Query(text, wanted.values)
