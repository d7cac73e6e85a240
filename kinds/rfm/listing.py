"""Lists of published customers: filtered, sorted, page by page, or all of them as a stream of CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg import sql
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from errors import RequestError
from kinds.rfm.results import SEGMENT_COLUMNS
from store.database import driver, snapshot

Sort = Literal["mobile_id", "-monetary", "-frequency", "recency_days"]
MOST_SORTED = 100_000  # customers; more are listed in order of their ids, which an index has
BLOCK = 64 * 1024  # bytes of CSV that are handed over at once


@dataclass(frozen=True)
class Filter:
    """Which customers: those of a segment, spelled as the map does, and those whose ids begin so."""

    segment: str | None = None
    prefix: str | None = None

    @property
    def values(self) -> dict[str, str]:
        """What the conditions' places hold."""
        given = {"segment": self.segment, "prefix": self.prefix}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def conditions(self) -> list[str]:
        """SQL conditions on `rfm_segments`, with named places."""
        known = {"segment": "segment = :segment", "prefix": "mobile_id ^@ :prefix"}
        return [known[name] for name in self.values]


@dataclass(frozen=True)
class Position:
    """The last customer of a page: the value that is sorted by (None for the id alone), and the id."""

    value: str | None
    mobile_id: str


def count(session: Session, wanted: Filter, at_most: int) -> int:
    """How many customers there are, or `at_most`."""
    query = f"SELECT count(*) FROM (SELECT FROM rfm_segments{_where(wanted.conditions)} LIMIT :most) AS found"  # noqa: S608  # our own names
    return int(session.execute(text(query), {**wanted.values, "most": at_most}).scalar_one())


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
) -> Sequence[Row[Any]]:
    """Customers in the order of `sort`, equal ones by their ids, from the one that follows `after`."""
    conditions, values = wanted.conditions, {**wanted.values, "limit": limit}
    if after is not None:
        column, sign = sort.removeprefix("-"), "<" if sort.startswith("-") else ">"
        later = "mobile_id > :id"
        if sort != "mobile_id":
            values["value"] = after.value or "0"
            same = f"CAST(:value AS {'numeric' if column == 'monetary' else 'int'})"
            later = f"({column} {sign} {same} OR {column} = {same} AND {later})"
        conditions, values["id"] = [*conditions, later], after.mobile_id
    query = f"SELECT {', '.join(SEGMENT_COLUMNS)} FROM rfm_segments{_where(conditions)}"  # noqa: S608  # our own names
    return session.execute(text(f"{query} ORDER BY {_order(sort)} LIMIT :limit"), values).all()


def position(row: Any, sort: Sort) -> Position:
    """Where a page that ends with this customer ended."""
    return Position(None if sort == "mobile_id" else str(getattr(row, sort.removeprefix("-"))), row.mobile_id)


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _order(sort: Sort) -> str:
    column = sort.removeprefix("-")
    return "mobile_id" if sort == "mobile_id" else f"{column}{' DESC' if sort.startswith('-') else ''}, mobile_id"


def csv(url: str, wanted: Filter, sort: Sort = "mobile_id") -> Iterator[bytes]:
    """All customers of the filter as CSV with a header, of one published state, in blocks.

    PostgreSQL writes it, so that no more than a block is in memory. Times are as the API writes them.
    """
    columns = [
        sql.SQL('to_char(computed_at, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\') AS computed_at')
        if name == "computed_at"
        else sql.Identifier(name)
        for name in SEGMENT_COLUMNS
    ]
    conditions = [
        sql.SQL(condition.replace(f":{name}", "{}")).format(sql.Literal(value))
        for (name, value), condition in zip(wanted.values.items(), wanted.conditions, strict=True)
    ]
    query = sql.SQL("COPY (SELECT {} FROM rfm_segments{} ORDER BY {}) TO STDOUT (FORMAT csv, HEADER)").format(
        sql.SQL(", ").join(columns),
        sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(conditions)) if conditions else sql.SQL(""),
        sql.SQL(_order(sort)),
    )
    with snapshot(url) as session, driver(session).cursor().copy(query) as rows:
        block = bytearray()
        for row in rows:
            block += row
            if len(block) >= BLOCK:
                yield bytes(block)
                block.clear()
        yield bytes(block)
