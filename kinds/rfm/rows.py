"""RFM in bulk: one row per customer from the CRM's orders, exact order statistics, and scored results.

The rows stay in PostgreSQL: a shard is aggregated in the orders' database (and piped by COPY if that is another server)
into a staging table, and scored from there into its partition of the results. The SQL is raw since it is built from the
source's column types and runs over millions of rows.

    fact_transactions ─► rfm_staging_g<run>_s<shard> ─► rfm_results_g<run>_s<shard>

An incremental run has one shard, the touched customers, and continues in merge.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import psycopg
from psycopg import sql
from sqlalchemy.orm import Session

from kinds.generations import Generations
from kinds.rfm import marks
from kinds.rfm.rules import Rules
from postgres import tune
from source import reading
from source.window import EPOCH, Plan, business_date, in_window, included, local_time
from store import ledger, progress
from store.database import driver
from store.models import Part, Run

_UNNAME = """
UPDATE analytics_runs SET plan = jsonb_set(plan, '{excluded}', (plan -> 'excluded') - %(id)s::text)
WHERE plan -> 'excluded' ? %(id)s::text
"""
STAGED = (
    "mobile_id text, last_day int, frequency int, cents bigint, used bigint, skipped bigint,"
    " first_purchase_at timestamptz"
)

TABLES = Generations("rfm", fill=95)


def staging(run: Run, shard: int) -> sql.Identifier:
    """The unlogged table of a shard's customers."""
    return TABLES.staging(run, shard)


def piece(run: Run, shard: int) -> sql.Identifier:
    """The shard's partition of the run's results."""
    return TABLES.piece(run, shard)


def generation(run: Run) -> sql.Identifier:
    """All of the run's results."""
    return sql.Identifier(f"rfm_results_g{run.generation}")


def aggregate_query(plan: Plan, whose: sql.Composable, *, all_finite: bool = False) -> sql.Composed:
    """Each customer's last day, frequency, cents and first purchase, with the rows used and skipped.

    `whose` filters the customers. With `all_finite` a NaN or infinite amount is not skipped, but raises
    `psycopg.errors.FeatureNotSupported`.

    One pass over their rows. OFFSET 0 is an optimization fence: without it, expressions are evaluated once per use. The
    ORDER BY matches the index, so rows are grouped without a sort, and ids above '' are a condition of the index. A
    customer without a purchase has frequency 0 and no last day. More cents than `monetary` can show raise an
    out-of-range error.
    """
    amount_type, amount = plan["columns"]["fact_transactions"]["total_amount"], sql.Identifier("total_amount")
    return sql.SQL(
        "SELECT mobile_id, {last_date} - {epoch} AS last_day,"
        " (count(*) FILTER (WHERE cents >= 1))::int AS frequency,"
        " sum(cents)::numeric(14, 0)::bigint AS cents,"
        " count(cents) AS used, count(*) FILTER (WHERE cents IS NULL) AS skipped,"
        " min(created_at) FILTER (WHERE cents >= 1) AS first_purchase_at"
        " FROM (SELECT mobile_id, created_at, CASE WHEN {finite} isfinite(created_at) THEN {cents} END AS cents"
        " FROM fact_transactions WHERE {whose} AND mobile_id > '' AND {included}"
        " AND ({window} IS NOT FALSE OR NOT isfinite(created_at)) ORDER BY mobile_id OFFSET 0) AS orders"
        " GROUP BY mobile_id"
    ).format(
        epoch=sql.Literal(EPOCH),
        last_date=business_date(local_time(sql.SQL("max(created_at) FILTER (WHERE cents >= 1)")), plan),
        cents=reading.cents(amount, amount_type),
        finite=sql.SQL("" if all_finite else "{} AND").format(reading.finite(amount, amount_type)),
        whose=whose,
        included=included(plan),
        window=in_window(plan),
    )


def aggregate(session: Session, source_url: str, run: Run, part: Part) -> dict[str, int]:
    """Fill the part's staging table with the shard's customers or, in an incremental run, with all touched customers,
    also those without a purchase; returns its counts.

    Raises
    ------
    UnavailableError
        If rows that the run relies on have changed since it was planned.
    """
    assert run.plan is not None
    fill = partial(TABLES.stage, session, source_url, run, part, STAGED, analyzed=run.mode == "incremental")
    try:
        with session.begin_nested():  # checking each amount takes a fifteenth of the time, and few sources have such
            fill(partial(aggregate_query, run.plan, all_finite=True))
    except psycopg.errors.FeatureNotSupported:
        fill(partial(aggregate_query, run.plan))
    return _counted(session, run, part.part)


def _counted(session: Session, run: Run, shard: int) -> dict[str, int]:
    columns = {
        "customers": "count(*) FILTER (WHERE frequency > 0)",
        "transactions": "coalesce(sum(used), 0)::bigint",
        "skipped_transactions": "coalesce(sum(skipped), 0)::bigint",
    }
    if run.mode == "incremental":
        columns["touched_customers"] = "count(*)"
    query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ".join(columns.values())), staging(run, shard))
    row = driver(session).execute(query).fetchone()
    assert row is not None
    return dict(zip(columns, row, strict=True))


def staged(run: Run, shards: Sequence[int]) -> sql.Composed:
    """The customers of these shards' staging tables, as a query."""
    return sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT last_day, frequency, cents FROM {} WHERE frequency > 0").format(staging(run, shard))
        for shard in shards
    )


def score(session: Session, run: Run, part: Part, rules: Rules) -> int:
    """Build the shard's piece of the results, rows first and then their key; returns the number of rows."""
    connection = driver(session)
    table = piece(run, part.part)
    tune(connection)
    connection.execute(sql.SQL("DELETE FROM {}").format(table))  # rows of an earlier try, before a crash
    joined, marked = marks.of_part(run, part)
    scored = connection.execute(
        sql.SQL(
            "INSERT INTO {table} (generation, shard, mobile_id, last_day, frequency, cents,"
            " r_score, f_score, m_score, segment_number, written_by, first_purchase_at, cluster_id, overdue)"
            " SELECT {generation}, {shard}, mobile_id, last_day, frequency, cents, r, f, m, {segment},"
            "  {generation}, first_purchase_at, {marked}"
            " FROM (SELECT *, {scores} FROM {staging} WHERE frequency > 0 OFFSET 0) AS scored {joined}"
        ).format(
            table=table,
            generation=sql.Literal(run.generation),
            shard=sql.Literal(part.part),
            segment=rules.segment_number(),
            scores=rules.columns(),
            staging=staging(run, part.part),
            joined=joined,
            marked=marked,
        )
    ).rowcount
    TABLES.complete(session, run, part.part)
    return scored


def near_indexes(ranges: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, str]:
    """Indexes of the values in ranges around the cut points, by column, as `Generations.unindexed` takes them.

    An incremental run finds the customers that a cut point has passed by these indexes, which are much smaller than
    those of all values.
    """
    return {
        column: f"({column}) WHERE {' OR '.join(f'{column} BETWEEN {low} AND {high}' for low, high in near)}"
        for column, near in ranges.items()
    }


def forget(session: Session, mobile_id: str) -> int:
    """Remove a customer's rows and changes, and the id from ledgers, plans and shard bounds; returns the number of
    rows.
    """
    removed = ledger.forget(session, "rfm", mobile_id)
    driver(session).execute(_UNNAME, {"id": mobile_id})
    for table in ("rfm_results", "segment_changes", "segment_changes_pending"):
        query = sql.SQL("DELETE FROM {} WHERE mobile_id = %s").format(sql.Identifier(table))
        removed += driver(session).execute(query, [mobile_id]).rowcount
    return removed + progress.clear_bounds(session, "rfm", mobile_id)
