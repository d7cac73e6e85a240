"""Lists of published customers: filtered, sorted, page by page, or all of them as a stream of CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from errors import RequestError
from kinds.rfm.results import SEGMENT_COLUMNS
from store.queries import Query

Sort = Literal["mobile_id", "-monetary", "-frequency", "recency_days"]
_TIME = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
MOST_SORTED = 100_000  # customers; more are listed in order of their ids, which an index has
_IN_CLUSTER = (
    "EXISTS (SELECT FROM customer_clusters AS c"
    " WHERE c.mobile_id = rfm_segments.mobile_id AND cluster_id = %(cluster)s)"
)
_OVERDUE = (
    "EXISTS (SELECT FROM customer_predictions AS p"
    " WHERE p.mobile_id = rfm_segments.mobile_id AND overdue_since IS NOT NULL)"
)


@dataclass(frozen=True)
class Filter:
    """Which customers: of a segment, spelled as the map does, whose ids begin so, of a cluster, overdue or not."""

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
        """SQL conditions on `rfm_segments`, with named places."""
        known = {"segment": "segment = %(segment)s", "prefix": "mobile_id ^@ %(prefix)s", "cluster": _IN_CLUSTER}
        overdue = [] if self.overdue is None else [_OVERDUE if self.overdue else f"NOT {_OVERDUE}"]
        return [known[name] for name in self.values] + overdue


@dataclass(frozen=True)
class Position:
    """The last customer of a page: the value that is sorted by (None for the id alone), and the id."""

    value: str | None
    mobile_id: str


def count(session: Session, wanted: Filter, at_most: int) -> int:
    """How many customers there are, or `at_most`."""
    text = f"SELECT count(*) FROM (SELECT FROM rfm_segments{_where(wanted.conditions)} LIMIT %(most)s) AS found"  # noqa: S608  # our own names
    ((found,),) = Query(text, {**wanted.values, "most": at_most}).rows(session)
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
    """Customers in the order of `sort`, equal ones by their ids, from the one that follows `after`."""
    conditions: list[str] = wanted.conditions
    values: dict[str, Any] = {**wanted.values, "limit": limit}
    if after is not None:
        column, sign = sort.removeprefix("-"), "<" if sort.startswith("-") else ">"
        later = "mobile_id > %(id)s"
        if sort != "mobile_id":
            values["value"] = after.value or "0"
            same = f"CAST(%(value)s AS {'numeric' if column == 'monetary' else 'int'})"
            later = f"({column} {sign} {same} OR {column} = {same} AND {later})"
        conditions, values["id"] = [*conditions, later], after.mobile_id
    return Query(f"{_select(SEGMENT_COLUMNS, conditions, sort)} LIMIT %(limit)s", values).rows(session)


def position(row: Any, sort: Sort) -> Position:
    """Where a page that ends with this customer ended."""
    return Position(None if sort == "mobile_id" else str(getattr(row, sort.removeprefix("-"))), row.mobile_id)


def _select(columns: Sequence[str], conditions: Sequence[str], sort: Sort) -> str:
    return f"SELECT {', '.join(columns)} FROM rfm_segments{_where(conditions)} ORDER BY {_order(sort)}"  # noqa: S608  # our own names


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _order(sort: Sort) -> str:
    column = sort.removeprefix("-")
    return "mobile_id" if sort == "mobile_id" else f"{column}{' DESC' if sort.startswith('-') else ''}, mobile_id"


def export(wanted: Filter, sort: Sort = "mobile_id") -> Query:
    """All customers of the filter, with times as the API writes them."""
    columns = [f"to_char({name}, '{_TIME}') AS {name}" if name.endswith("_at") else name for name in SEGMENT_COLUMNS]
    return Query(_select(columns, wanted.conditions, sort), wanted.values)
