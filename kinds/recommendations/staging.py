"""Staging tables of a run: the visits that its parts read, and its customers, with their segments in a full run.

Those of a full run are unlogged: a crash of PostgreSQL empties them; parts check for that, and the rows are read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from psycopg import sql
from sqlalchemy.orm import Session

from kinds.base import RowsLostError
from store import progress
from store.database import driver
from store.models import Part, Run

# Tables of ended runs.
_LEFT_OVER = """
SELECT relname FROM pg_class JOIN analytics_runs
  ON generation = substring(relname FROM '^recommendation_(?:visits|customers)_g([0-9]+)$')::bigint
WHERE pg_table_is_visible(pg_class.oid) AND status IN ('succeeded', 'failed', 'cancelled')
"""


def visits(run: Run) -> sql.Identifier:
    """The table of a run's visits, by shard."""
    return sql.Identifier(f"recommendation_visits_g{run.generation}")


def customers(run: Run) -> sql.Identifier:
    """The table of customers: those that an incremental run has read, or all segments as a full run found them."""
    return sql.Identifier(f"recommendation_customers_g{run.generation}")


def create(session: Session, run: Run) -> None:
    """Create the run's tables."""
    full = run.mode != "incremental"
    persistence = sql.SQL("UNLOGGED" if full else "")
    for table, columns in (
        (visits(run), "shard int, part int, block int, data bytea"),
        (customers(run), "shard int, data bytea" if full else "mobile_id text"),
    ):
        driver(session).execute(sql.SQL("CREATE {} TABLE {} ({})").format(persistence, table, sql.SQL(columns)))
    for table in (visits(run), *([customers(run)] if full else [])):
        driver(session).execute(sql.SQL("ALTER TABLE {} ALTER data SET STORAGE EXTERNAL").format(table))


def clear_visits(session: Session, run: Run, part: Part) -> None:
    """Remove the rows of a part's earlier attempt."""
    driver(session).execute(sql.SQL("DELETE FROM {} WHERE part = %s").format(visits(run)), [part.part])


def save_visits(session: Session, run: Run, part: Part, block: int, found: Mapping[int, bytes]) -> None:
    """Store one block's visits, by shard."""
    query = sql.SQL("INSERT INTO {} (shard, part, block, data) VALUES (%s, %s, %s, %s)").format(visits(run))
    rows = [(shard, part.part, block, data) for shard, data in found.items()]
    driver(session).cursor().executemany(query, rows)


def save_customers(session: Session, run: Run, mobile_ids: Sequence[str]) -> None:
    """Store which customers an incremental run has read, including those without a visit."""
    query = sql.SQL("INSERT INTO {} SELECT unnest(%s::text[])").format(customers(run))
    driver(session).execute(query, [list(mobile_ids)])


def load_customers(session: Session, run: Run) -> list[str]:
    """The customers that an incremental run has read."""
    query = sql.SQL("SELECT mobile_id FROM {} ORDER BY mobile_id").format(customers(run))
    return [mobile_id for (mobile_id,) in driver(session).execute(query).fetchall()]


def save_segments(session: Session, run: Run, blocks: Iterable[Mapping[int, bytes]]) -> int:
    """Store blocks of customers with their segments, by shard, replacing earlier ones; returns how many."""
    number = 0
    driver(session).execute(sql.SQL("TRUNCATE {}").format(customers(run)))
    query = sql.SQL("INSERT INTO {} (shard, data) VALUES (%s, %s)").format(customers(run))
    for found in blocks:
        driver(session).cursor().executemany(query, list(found.items()))
        number += 1
    return number


def load_segments(session: Session, run: Run, shard: int, blocks: int) -> list[bytes]:
    """A shard's customers with their segments.

    Raises
    ------
    RowsLostError
        When the shard does not have its part of each of the blocks.
    """
    query = sql.SQL("SELECT data FROM {} WHERE shard = %s").format(customers(run))
    found = [bytes(data) for (data,) in driver(session).execute(query, [shard], binary=True).fetchall()]
    if len(found) != blocks:
        raise RowsLostError("The segments that were copied are gone.")
    return found


def load_visits(session: Session, run: Run, shard: int) -> list[bytes]:
    """A shard's visits, block by block.

    Raises
    ------
    RowsLostError
        When stored rows are missing.
    """
    return list(each_block(session, run, shard))


def each_block(session: Session, run: Run, shard: int) -> Iterator[bytes]:
    """A shard's visits, one block at a time."""
    check(session, run)
    query = sql.SQL("SELECT data FROM {} WHERE shard = %s ORDER BY part, block").format(visits(run))
    with driver(session).cursor("blocks", binary=True) as cursor:
        cursor.itersize = 8
        for (data,) in cursor.execute(query, [shard]):
            yield bytes(data)


def check(session: Session, run: Run) -> None:
    """Check that all stored visits are still there.

    Raises
    ------
    RowsLostError
        When rows are missing.
    """
    if not is_whole(session, run):
        raise RowsLostError("Visits that were read are gone.")


def is_whole(session: Session, run: Run) -> bool:
    """Whether all visits that the run's parts have stored are still there."""
    expected = sum((part.counts or {}).get("stored_blocks", 0) for part in progress.parts(session, run, "read"))
    found = driver(session).execute(sql.SQL("SELECT count(*) FROM {}").format(visits(run))).fetchone()
    return found is not None and found[0] == expected


def left_over(session: Session) -> Sequence[str]:
    """The tables of ended runs."""
    return [name for (name,) in driver(session).execute(_LEFT_OVER).fetchall()]


def drop(session: Session, table: str) -> None:
    """Drop a table, if it exists."""
    driver(session).execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(table)))
