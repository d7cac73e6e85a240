"""The indexes of partitions, by the ends of their names."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from store.database import driver

_LACKING = """
SELECT piece.relname, name
FROM pg_inherits JOIN pg_class AS piece ON piece.oid = inhrelid CROSS JOIN unnest(%(names)s::text[]) AS name
WHERE inhparent = to_regclass(%(whole)s)
  AND NOT EXISTS (SELECT FROM pg_index JOIN pg_class AS known ON known.oid = indexrelid
                  WHERE indrelid = piece.oid AND known.relname = piece.relname || '_' || name)
ORDER BY piece.relname, name
"""


def lacking(session: Session, table: str, names: Iterable[str]) -> list[tuple[str, str]]:
    """The partitions of a table that lack an index named `<partition>_<name>`, each with the name."""
    return driver(session).execute(_LACKING, {"whole": table, "names": list(names)}).fetchall()
