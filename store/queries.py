"""A query on our tables with its values: read as rows, or streamed as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.rows import namedtuple_row
from sqlalchemy.orm import Session

from store.database import driver

BLOCK = 64 * 1024  # bytes of CSV that are handed over at once


@dataclass(frozen=True)
class Query:
    """The text of a SELECT with named placeholders, `%(name)s`, and their values."""

    text: str
    values: Mapping[str, Any]

    def rows(self, session: Session) -> Sequence[Any]:
        """All rows, as named tuples."""
        cursor = driver(session).cursor(row_factory=namedtuple_row)
        return cursor.execute(sql.SQL(self.text), self.values).fetchall()

    def csv(self, session: Session) -> Iterator[bytes]:
        """All rows as CSV with a header, in blocks.

        PostgreSQL writes it, so that no more than a block is in memory.
        """
        copy = sql.SQL(f"COPY ({self.text}) TO STDOUT (FORMAT csv, HEADER)")
        with driver(session).cursor().copy(copy, self.values) as rows:
            block = bytearray()
            for row in rows:
                block += row
                if len(block) >= BLOCK:
                    yield bytes(block)
                    block.clear()
            yield bytes(block)
