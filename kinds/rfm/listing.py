"""Lists of published customers: filtered, sorted, page by page, or all of them as a stream of CSV.

Customers with the same segment, cluster and overdue or not are one group. An index per order has each group's customers
in that order, so a page of any filter is merged from the first customers of each of its groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from sqlalchemy.orm import Session

from errors import RequestError
from kinds.rfm.results import SEGMENT_COLUMNS
from source.window import today
from store.indexes import lacking
from store.published import PublishedState
from store.queries import Query

Sort = Literal["mobile_id", "-monetary", "-frequency", "recency_days"]
_TIME = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
MOST_SORTED = 100_000  # customers; more are listed in order of their ids
FEW = 10_000  # customers that are read whole and sorted by their ids; of more, one in a hundred of a million matches
# Each order beside that of ids: its column of `rfm_results`, downwards, and what a value of the view is in that column.
_ORDERS = {
    "-monetary": ("cents", "(100 * CAST(%(value)s AS numeric))::bigint"),
    "-frequency": ("frequency", "CAST(%(value)s AS int)"),
    "recency_days": ("last_day", "%(today)s - CAST(%(value)s AS int)"),
}
# Indexes of a published generation's pieces, by name.
INDEXES = {
    f"grouped_by_{column}": f"(segment_number, overdue, cluster_id, {column} DESC, mobile_id)"
    for column, _ in _ORDERS.values()
}
_CONDITIONS = {
    "number": "segment_number = %(number)s",
    "overdue": "overdue = %(overdue)s",
    "cluster": "cluster_id = %(cluster)s AND cluster_id <> 0",  # 0: none
    "prefix": "mobile_id ^@ %(prefix)s",
}
_GROUPS = """
(SELECT * FROM rfm_groups WHERE generation = %(generation)s AND customers > 0{where}) AS wanted
CROSS JOIN LATERAL ({rows}) AS found
"""
_OF_GROUP = "(r.segment_number, r.overdue, r.cluster_id) = (wanted.segment_number, wanted.overdue, wanted.cluster_id)"


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
        """What the places of `_CONDITIONS` hold."""
        names = list(self.state.run.segment_names or ())
        number = None if self.segment is None else names.index(self.segment) + 1
        given = {"number": number, "overdue": self.overdue, "cluster": self.cluster, "prefix": self.prefix}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Position:
    """The last customer of a page: the value that is sorted by (None for the id alone), and the id."""

    value: str | None
    mobile_id: str


class Listing:
    """The customers of a filter, as a session reads them."""

    def __init__(self, session: Session, wanted: Filter) -> None:
        self._session = session
        self._table = f"rfm_results_g{wanted.state.generation} AS r"
        all_begin, by_code_points = self._beginnings(wanted.prefix) if wanted.prefix is not None else (False, False)
        self._wanted = replace(wanted, prefix=None) if all_begin else wanted
        self._values = self._wanted.values | {"generation": wanted.state.generation}
        self._conditions = dict(_CONDITIONS)
        until = _following(self._wanted.prefix) if self._wanted.prefix and by_code_points else None
        if until is not None:
            # A range takes two thirds of the time: an index of ids serves it without looking at their beginning again.
            self._conditions["prefix"] = "mobile_id >= %(prefix)s AND mobile_id < %(until)s"
            self._values["until"] = until
        self._found = 0, 0  # customers of the filter, and up to how many they were counted
        self._begin = 0, 0  # customers whose ids begin as wanted, and up to how many they were counted

    def _beginnings(self, prefix: str) -> tuple[bool, bool]:
        """Whether all ids begin so, as they do with a country's code; and whether they are in the order of code points.

        In the order of code points, that of the collation C, those between two that begin so begin so as well.
        """
        both = "min(mobile_id) ^@ %(prefix)s AND max(mobile_id) ^@ %(prefix)s"
        text = f"SELECT {both} AS found, 'B' < 'a' AS by_code_points FROM {self._table}"  # noqa: S608  # our own names
        ((found, by_code_points),) = Query(text, {"prefix": prefix}).rows(self._session)
        return bool(found and by_code_points), bool(by_code_points)

    @property
    def counted_all(self) -> bool:
        """True if all customers of the filter are counted, however many there are."""
        return self._wanted.prefix is None

    def count(self, at_most: int = MOST_SORTED + 1) -> int:
        """How many customers there are; with a beginning of ids, `at_most`."""
        if self._wanted.prefix is None:
            return self._total
        if at_most > self._found[1]:
            most = 3 * FEW if self._total <= MOST_SORTED else min(self._total // 3, 3 * MOST_SORTED)
            by_id = not self._group_conditions or not self._indexed or self._begin_at_most(most)
            rows = self._rows("mobile_id", []) if by_id else self._of_groups("mobile_id", [])
            self._found = self._counted(rows, at_most), at_most
        return min(self._found[0], at_most)

    @cached_property
    def sortable(self) -> bool:
        """Whether no more than `MOST_SORTED` customers are left."""
        return self._total <= MOST_SORTED or self.count() <= MOST_SORTED

    def check_sort(self, sort: Sort) -> None:
        """Refuse a sort of too many customers.

        Raises
        ------
        RequestError
            When it is not by id, and more than `MOST_SORTED` customers are left.
        """
        if sort != "mobile_id" and not self.sortable:
            raise RequestError(
                f"More than {MOST_SORTED:,} customers are left, which are sorted by mobile_id alone; filter for fewer."
            )

    def page(self, sort: Sort = "mobile_id", *, after: Position | None = None, limit: int) -> Sequence[Any]:
        """Customers in the order of `sort`, equal ones by their ids, from the one that follows `after`.

        Their ids are found by an index, and then their rows by their ids.
        """
        values = dict(self._values) | {"limit": limit}
        if after is not None:
            values |= {"id": after.mobile_id, "value": after.value or "0"}
            values |= {"today": today(self._wanted.state.run.plan or {})}
        ids = self._by_id(after) if sort == "mobile_id" else self._by_value(*_ORDERS[sort], after)
        found = f"SELECT {', '.join(SEGMENT_COLUMNS)} FROM rfm_segments WHERE mobile_id = ANY (ARRAY({ids}))"  # noqa: S608  # our own names
        return Query(f"{found} ORDER BY {_order(sort)}", values).rows(self._session)

    def export(self, sort: Sort = "mobile_id") -> Query:
        """All customers, with times as the API writes them."""
        columns = [
            f"to_char({name}, '{_TIME}') AS {name}" if name.endswith("_at") else name for name in SEGMENT_COLUMNS
        ]
        where = f"WHERE mobile_id IN ({self._rows('mobile_id', [])})" if self._wanted.values else ""
        text = f"SELECT {', '.join(columns)} FROM rfm_segments {where} ORDER BY {_order(sort)}"  # noqa: S608  # our own names
        return Query(text, self._values)

    def _by_id(self, after: Position | None) -> str:
        later = ["mobile_id > %(id)s"] if after else []
        # Few customers may be found late in the order of all ids.
        grouped = self._total <= FEW and self._indexed
        rows = self._of_groups("mobile_id", later) if grouped else self._rows("mobile_id", later)
        return f"{rows} ORDER BY mobile_id LIMIT %(limit)s"

    def _by_value(self, column: str, same: str, after: Position | None) -> str:
        columns, order = f"{column}, mobile_id", f"{column} DESC, mobile_id"
        # Without another filter there are all groups, each with a few customers that match.
        one_by_one = self._wanted.prefix is not None and not self._group_conditions
        if one_by_one or not self._indexed or self._begin_at_most(3 * FEW):
            later = [f"({column} < {same} OR {column} = {same} AND mobile_id > %(id)s)"] if after else []
            rows = self._rows(columns, later)
        elif after is None:
            rows = self._of_groups(columns, [], f"ORDER BY {order} LIMIT %(limit)s")
        else:
            # Each in the index's order: customers with the same value may be most of a group.
            rows = " UNION ALL ".join(
                f"({self._of_groups(columns, later, f'ORDER BY {order} LIMIT %(limit)s')})"
                for later in ([f"{column} = {same}", "mobile_id > %(id)s"], [f"{column} < {same}"])
            )
        return f"SELECT mobile_id FROM ({rows}) AS listed ORDER BY {order} LIMIT %(limit)s"  # noqa: S608  # our own names

    def _rows(self, columns: str, more: Sequence[str]) -> str:
        """The customers, by ids or unsorted."""
        conditions = [self._conditions[name] for name in self._wanted.values] + list(more)
        return f"SELECT {columns} FROM {self._table} WHERE {' AND '.join(conditions or ['true'])}"  # noqa: S608  # our own names

    def _of_groups(self, columns: str, more: Sequence[str], each: str = "OFFSET 0") -> str:
        """The customers of each group; `each` orders and limits a group's rows.

        OFFSET 0 is an optimization fence: without it, the index of ids is read for customers in their order.
        """
        prefix = [_CONDITIONS["prefix"]] if self._wanted.prefix is not None else []
        rows = f"SELECT {columns} FROM {self._table} WHERE {' AND '.join([_OF_GROUP, *prefix, *more])} {each}"  # noqa: S608  # our own names
        names = ", ".join(f"found.{name}" for name in columns.split(", "))
        return f"SELECT {names} FROM {_GROUPS.format(where=self._group_conditions, rows=rows)}"  # noqa: S608  # our own names

    @property
    def _group_conditions(self) -> str:
        return "".join(f" AND {_CONDITIONS[name]}" for name in self._wanted.values if name != "prefix")

    @cached_property
    def _total(self) -> int:
        """The customers of the groups, whatever their ids begin with."""
        text = (
            "SELECT coalesce(sum(customers), 0) FROM rfm_groups"  # noqa: S608  # our own names
            f" WHERE generation = %(generation)s{self._group_conditions}"
        )
        ((found,),) = Query(text, self._values).rows(self._session)
        return int(found)

    @cached_property
    def _indexed(self) -> bool:
        return not lacking(self._session, f"rfm_results_g{self._wanted.state.generation}", INDEXES)

    def _begin_at_most(self, most: int) -> bool:
        """True if ids have to begin in a way that leaves no more customers, who are then read by their ids.

        Reading the groups of another filter takes less time if it leaves more.
        """
        if self._wanted.prefix is None or not self._group_conditions:
            return False
        if most >= self._begin[1]:
            begin = f"SELECT FROM {self._table} WHERE {self._conditions['prefix']}"
            self._begin = self._counted(begin, most + 1), most + 1
        return self._begin[0] <= most

    def _counted(self, rows: str, at_most: int) -> int:
        text = f"SELECT count(*) FROM ({rows} LIMIT %(most)s) AS found"  # noqa: S608  # our own names
        ((found,),) = Query(text, self._values | {"most": at_most}).rows(self._session)
        return int(found)


def position(row: Any, sort: Sort) -> Position:
    """Where a page that ends with this customer ended."""
    return Position(None if sort == "mobile_id" else str(getattr(row, sort.removeprefix("-"))), row.mobile_id)


def _following(prefix: str) -> str | None:
    """The first text after all that begin so, in the order of code points; None where it is not one character's."""
    last = ord(prefix[-1]) + 1
    return None if 0xD800 <= last <= 0xDFFF or last > 0x10FFFF else prefix[:-1] + chr(last)


def _order(sort: Sort) -> str:
    column = sort.removeprefix("-")
    return "mobile_id" if sort == "mobile_id" else f"{column}{' DESC' if sort.startswith('-') else ''}, mobile_id"
