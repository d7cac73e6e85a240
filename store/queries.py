"""A query on our tables with its values: read as rows, or streamed as CSV."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row
from sqlalchemy.orm import Session

from store.database import driver
from store.spreadsheet import as_text

BLOCK = 64 * 1024  # bytes of CSV that are handed over at once
_TEXTS = [psycopg.adapters.types[name].oid for name in ("text", "varchar", "json", "jsonb", "name")]
_TIME = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'  # as the API writes times


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

    def spreadsheet(self, session: Session) -> Iterator[bytes]:
        """All rows as CSV for spreadsheets: no text of them becomes a formula, a number or a date."""
        connection = driver(session)
        shape = f"SELECT * FROM ({self.text}) AS rows LIMIT 0"  # noqa: S608  # our own text
        described = connection.execute(sql.SQL(shape), self.values).description or []
        names = [column.name for column in described]
        texts = [column.type_code in _TEXTS and not column.name.endswith("_at") for column in described]
        out = io.StringIO(newline="")
        write = csv.writer(out, quoting=csv.QUOTE_ALL)
        write.writerow(names)
        yield codecs.BOM_UTF8
        with connection.cursor().copy(sql.SQL(f"COPY ({self.text}) TO STDOUT"), self.values) as rows:
            for row in rows.rows():
                write.writerow(as_text(value) if text else value for value, text in zip(row, texts, strict=True))
                if out.tell() >= BLOCK:
                    yield _taken(out)
        yield _taken(out)


def _taken(out: io.StringIO) -> bytes:
    """What was written, which is removed."""
    block = out.getvalue().encode()
    out.seek(0)
    out.truncate()
    return block


def exported(relation: str, columns: Sequence[str], order: str, conditions: Mapping[str, Any] | None = None) -> Query:
    """A relation's rows, with times as the API writes them.

    `conditions` have `{}` in place of their value; one whose value is None is left out.
    """
    given = [(text, value) for text, value in (conditions or {}).items() if value is not None]
    values = {f"v{place}": value for place, (_, value) in enumerate(given)}
    where = " AND ".join(text.format(f"%(v{place})s") for place, (text, _) in enumerate(given))
    shown = ", ".join(f"to_char({name}, '{_TIME}') AS {name}" if name.endswith("_at") else name for name in columns)
    return Query(f"SELECT {shown} FROM {relation}{' WHERE ' + where if where else ''} ORDER BY {order}", values)  # noqa: S608  # our own names
