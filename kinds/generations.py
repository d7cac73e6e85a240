"""Tables of results with one row per customer, partitioned by generation and within it by customer shard;
long, since all steps from filling to dropping them are here.

    orders ─► <name>_staging_g<run>_s<shard> ─► <name>_results_g<run>_s<shard>

Staging tables are unlogged, for speed; a crash of PostgreSQL empties them completely. An incremental run has one
staging table, of the touched customers, whose results are merged into the published generation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from psycopg import sql
from sqlalchemy.orm import Session

from kinds.base import Draft
from kinds.bulk import insert_from_source
from source import touched
from source.window import Plan, included, key_range
from store import ledger, progress
from store.database import driver
from store.indexes import lacking
from store.models import Part, Run

OLDER_STATEMENTS_WAIT = 2.0

# Staging of ended runs, and generations of runs without a result.
_LEFT_OVER = """
SELECT relname FROM pg_class JOIN analytics_runs
  ON generation = substring(relname FROM '^' || %(name)s || '_(?:staging|results)_g([0-9]+)(?:_s[0-9]+)?$')::bigint
WHERE pg_table_is_visible(pg_class.oid)
  AND (starts_with(relname, %(name)s || '_staging') AND status IN ('succeeded', 'failed', 'cancelled')
    OR relkind = 'p' AND status IN ('failed', 'cancelled'))
"""
# Customers of a generation who have no orders any more.
_WITHOUT_ORDERS = """
INSERT INTO {table} (mobile_id) SELECT mobile_id FROM {results} AS r
WHERE generation = {generation} AND NOT EXISTS (SELECT FROM {table} AS staged WHERE staged.mobile_id = r.mobile_id)
"""


@dataclass(frozen=True)
class Generations:
    """The tables of one kind, whose names begin with `name`.

    `fill` is how full the pages of results are written, in per cent: a changed row that finds room on its page needs no
    index entries if no indexed value differs. `lines` says whether results depend on the orders' lines.
    """

    name: str
    fill: int = 100
    lines: bool = False

    @property
    def results(self) -> sql.Identifier:
        """All generations."""
        return sql.Identifier(f"{self.name}_results")

    def staging(self, run: Run, shard: int) -> sql.Identifier:
        """A shard's staging table."""
        return sql.Identifier(f"{self.name}_staging_g{run.generation}_s{shard}")

    def piece(self, run: Run, shard: int) -> sql.Identifier:
        """A shard's results."""
        return sql.Identifier(f"{self.name}_results_g{run.generation}_s{shard}")

    def note_unchanged(self, draft: Draft) -> None:
        """Store in the plan of an incremental run whether the newest orders that the last run has read are unchanged,
        so that only those above them are touched.
        """
        plan, since = draft.plan, draft.plan["since"]
        if not plan["recompute_all"] and plan["inline"]:
            digests = ledger.digests(draft.session, since["ledger"])
            draft.session.rollback()
            since["unchanged"] = touched.unchanged(draft.crm, plan, digests, lines=self.lines, guests=False)

    def stage(
        self,
        session: Session,
        source_url: str,
        run: Run,
        part: Part,
        columns: str,
        query: Callable[[sql.Composable], sql.Composed],
        *,
        analyzed: bool = True,
    ) -> sql.Identifier:
        """Fill the part's staging table with one row per customer; returns it.

        `query` returns the source's rows of the customers that a condition filters. In an incremental run these are
        the touched ones, and those without orders have a row with their id alone. With `analyzed` the planner gets
        statistics of the table, for statements that join it.

        Raises
        ------
        UnavailableError
            If rows that the run relies on have changed since it was planned.
        """
        assert run.plan is not None
        plan, table, incremental = run.plan, self.staging(run, part.part), run.mode == "incremental"
        everything = incremental and plan.get("recompute_all")
        connection = driver(session)
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
        # No step looks for rows that an incremental run has lost, so its table has to survive a crash.
        persistence = sql.SQL("" if incremental else "UNLOGGED")
        connection.execute(sql.SQL("CREATE {} TABLE {} ({})").format(persistence, table, sql.SQL(columns)))
        if everything:
            rows = query(sql.SQL("mobile_id IS NOT NULL"))
        elif incremental:
            rows = _of_touched(session, plan, query)
        else:
            rows = query(key_range(sql.Identifier("mobile_id"), part, "text"))
        newest, entry = touched.newest_customers(plan, part, lines=self.lines), partial(ledger.entry, run, part)
        insert_from_source(session, source_url, plan, rows, table, newest, entry)
        if everything:
            generation = sql.Literal(plan["since"]["generation"])
            without = sql.SQL(_WITHOUT_ORDERS).format(table=table, results=self.results, generation=generation)
            connection.execute(without)
        if plan.get("since", {}).get("unchanged") and not ledger.is_known(session, run.generation):
            raise touched.orders_changed()
        if analyzed:
            connection.execute(sql.SQL("ANALYZE {}").format(table))
        return table

    def merge(self, session: Session, run: Run, columns: str, query: sql.Composable, same: str) -> dict[str, int]:
        """Replace the touched customers' rows of the published generation, where they differ; returns the counts.

        `query` returns the new rows as `columns`. `same` says whether an old row r and a new row s have the same
        values.
        """
        assert run.plan is not None
        connection, scored, before = driver(session), f"{self.name}_scored", f"{self.name}_before"
        names = {
            "columns": sql.SQL(columns),
            "generation": sql.Literal(run.plan["since"]["generation"]),
            "results": self.results,
            "touched": self.staging(run, 0),
            "scored": sql.Identifier(scored),
            "before": sql.Identifier(before),
            "same": sql.SQL(same),
            "query": query,
        }
        for statement in (
            "CREATE TEMP TABLE {scored} (LIKE {results}) ON COMMIT DROP",
            "INSERT INTO {scored} ({columns}) {query}",
            # Keys go as an array, for which the planner takes the index; of a join it would read all customers.
            "CREATE TEMP TABLE {before} ON COMMIT DROP AS SELECT * FROM {results}"
            " WHERE generation = {generation} AND mobile_id = ANY (ARRAY(SELECT mobile_id FROM {touched}))",
            "UPDATE {scored} AS s SET shard = r.shard FROM {before} AS r WHERE r.mobile_id = s.mobile_id",
            "WITH kept AS (DELETE FROM {scored} AS s USING {before} AS r WHERE r.mobile_id = s.mobile_id AND {same}"
            " RETURNING s.mobile_id) DELETE FROM {before} AS r USING kept WHERE r.mobile_id = kept.mobile_id",
        ):
            connection.execute(sql.SQL(statement).format(**names))
        removed = connection.execute(
            sql.SQL(
                "DELETE FROM {results} WHERE generation = {generation}"
                " AND mobile_id = ANY (ARRAY(SELECT mobile_id FROM {before}))"
            ).format(**names)
        ).rowcount
        inserted = connection.execute(
            sql.SQL("INSERT INTO {results} ({columns}) SELECT {columns} FROM {scored}").format(**names)
        ).rowcount
        return {"rescored_customers": inserted, "removed_rows": removed}

    def create(self, session: Session, run: Run, shards: Sequence[int]) -> None:
        """Create the run's generation: empty partitions, not visible to readers, since no row names it yet.

        It is attached when the run starts, not when it is published: a statement planned before the ATTACH does not
        know the new partitions, and would find no rows if its snapshot then has the new generation. ATTACH takes no
        lock that conflicts with readers.
        """
        connection = driver(session)
        whole = sql.Identifier(f"{self.name}_results_g{run.generation}")
        connection.execute(sql.SQL("CREATE TABLE {} (LIKE {}) PARTITION BY LIST (shard)").format(whole, self.results))
        for shard in shards:
            connection.execute(
                sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES IN ({}) WITH (fillfactor = {})").format(
                    self.piece(run, shard), whole, sql.Literal(shard), sql.Literal(self.fill)
                )
            )
        connection.execute(
            sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})").format(
                self.results, whole, sql.Literal(run.generation)
            )
        )

    def complete(self, session: Session, run: Run, shard: int) -> None:
        """Add the primary key to a filled piece, and statistics of which rows it has.

        Until autovacuum comes, minutes later, statements would else be planned as for a few rows. It is not kept from
        coming, since only two columns are analyzed.
        """
        piece, key = self.piece(run, shard), sql.Identifier(f"{self.name}_results_g{run.generation}_s{shard}_key")
        connection = driver(session)
        connection.execute(sql.SQL("CREATE UNIQUE INDEX IF NOT EXISTS {} ON {} (mobile_id)").format(key, piece))
        analyze = "SET LOCAL default_statistics_target = 10; ANALYZE {} (generation, mobile_id);"
        connection.execute(sql.SQL(analyze + " SET LOCAL default_statistics_target TO DEFAULT").format(piece))

    def unindexed(
        self, session: Session, generation: int, indexes: Mapping[str, str]
    ) -> Sequence[Callable[[Session], None]]:
        """Steps that add indexes to the pieces of a generation that lack them.

        `indexes` has by name the columns in brackets, and the condition of a partial index.
        """
        found = lacking(session, f"{self.name}_results_g{generation}", indexes)
        return [partial(_index, table=table, name=name, columns=indexes[name]) for table, name in found]

    def lost_shards(self, session: Session, run: Run, rows: Mapping[int, int]) -> list[int]:
        """The shards whose part has stored rows but whose staging table is empty."""
        shards = [shard for shard, count in rows.items() if count]
        if not shards:
            return []
        filled = sql.SQL(", ").join(
            sql.SQL("EXISTS (SELECT FROM {})").format(self.staging(run, shard)) for shard in shards
        )
        row = driver(session).execute(sql.SQL("SELECT {}").format(filled)).fetchone()
        assert row is not None
        return [shard for shard, has_rows in zip(shards, row, strict=True) if not has_rows]

    def settle(self, session: Session, run: Run) -> None:
        """Wait, before publishing, for statements that may have been planned before the generation was attached.

        A statement that runs longer than planning can take has its snapshot, and with it the old generation.
        """
        attached = progress.first_done(session, run)
        deadline = time.monotonic() + OLDER_STATEMENTS_WAIT
        query = (
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE relation = %s::regclass AND granted AND pid <> pg_backend_pid()"
            " AND coalesce(state, 'active') = 'active' AND coalesce(query_start, '-infinity') < %s)"
        )
        while time.monotonic() < deadline:
            row = driver(session).execute(query, [f"{self.name}_results", attached]).fetchone()
            if not row or not row[0]:
                return
            time.sleep(0.01)

    def unneeded(self, session: Session) -> list[Callable[[Session], None]]:
        """Steps that drop the tables of ended runs."""
        found = driver(session).execute(_LEFT_OVER, {"name": self.name}).fetchall()
        return [partial(_drop, table=table) for (table,) in found]

    def discard(self, session: Session, generations: Sequence[int]) -> None:
        """Drop generations."""
        for generation in generations:
            _drop(session, f"{self.name}_results_g{generation}")

    def forget(self, session: Session, kind: str, mobile_id: str) -> int:
        """Remove a customer's rows, and the id from shard bounds and ledgers."""
        removed = ledger.forget(session, kind, mobile_id)
        query = sql.SQL("DELETE FROM {} WHERE mobile_id = %s").format(self.results)
        removed += driver(session).execute(query, [mobile_id]).rowcount
        return removed + progress.clear_bounds(session, kind, mobile_id)


def _of_touched(session: Session, plan: Plan, query: Callable[[sql.Composable], sql.Composed]) -> sql.Composed:
    """The rows of the touched customers, who are found in the same snapshot."""
    since = plan["since"]
    before = [] if since.get("unchanged") else ledger.keys(session, since.get("ledger"))  # none in an older plan
    # Ids go as an array, for which the planner takes the index; for a join it would read all orders.
    rows = query(sql.SQL("mobile_id = ANY (ARRAY(SELECT mobile_id FROM touched))"))
    return sql.SQL(
        "WITH touched AS MATERIALIZED (SELECT mobile_id FROM ({} UNION SELECT unnest({}::text[])) AS t WHERE {}),"
        " counted AS MATERIALIZED ({}) SELECT * FROM touched LEFT JOIN counted USING (mobile_id)"
    ).format(touched.customers_query(plan), sql.Literal(before), included(plan), rows)


def _index(session: Session, table: str, name: str, columns: str) -> None:
    query = sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} {}")
    names = (sql.Identifier(f"{table}_{name}"), sql.Identifier(table))
    driver(session).execute(query.format(*names, sql.SQL(columns)))


def _drop(session: Session, table: str) -> None:
    driver(session).execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(table)))
