"""The transactions that an incremental run reads: all that may be new or changed since the published run.

These are the ones with an id above the last covered id, those named in a request, those whose time lies between the
last `as_of` and this one, and those of business days that have left the lookback since. All orders of their customers
and business days are read again. So are those of the customers and days in the last run's ledger, since a newest row
may have got another customer or time, or been deleted.

The ledger has no entries for rows at or below the last covered id. If a request names such rows, everything is
recomputed.

Where all orders of the touched customers are read, the ledger also has a digest of the newest rows. If these are as
they were read, only rows above them are touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import sql

from errors import UnavailableError
from postgres import scalar
from source import reading
from source.ranges import KeyRange
from source.window import (
    EPOCH,
    Plan,
    business_date,
    day_buckets_of,
    in_window,
    key_range,
    local_time,
    moved_days,
    on_days,
    use_time_zone,
)

# Transactions commit out of order: one with a lower id may become visible after one with a higher id was read. So the
# newest rows count as not yet covered; the overlap is a number of rows, since ids may have gaps.
OVERLAP_ROWS = 1_000
LEDGER_ROWS = 20_000  # newest rows whose keys are stored: the overlap, and rows that arrive during a run
SMALL = 10_000  # touched transactions that are read in about a second


def covered(crm: reading.Connection) -> int | None:
    """The id up to which a run that is planned now counts rows as covered; None if there are too few rows."""
    found: int | None = scalar(
        crm,
        "SELECT transaction_id FROM fact_transactions WHERE transaction_id IS NOT NULL"
        " ORDER BY transaction_id DESC OFFSET %s LIMIT 1",
        OVERLAP_ROWS,
    )
    return found


def recompute_all(plan: Plan) -> bool:
    """Whether everything has to be recomputed, since the former customer or day of a changed row may be unknown.

    Either the last run has no complete ledger, or a request names rows that are not in it.
    """
    last: Mapping[str, Any] = plan["since"]
    return last["ledger"] is None or any(first <= last["covered_id"] for first, _ in last["named_ids"])


def covered_after(plan: Plan) -> int | None:
    """The covered id of an incremental run: never lower than that of the run before it.

    Its ledger has only the keys that it has read, and these are not all keys of rows below the last covered id.
    """
    found: int | None = plan["covered_id"]
    if plan["recompute_all"] or found is None:
        return found
    return max(found, int(plan["since"]["covered_id"]))


def newest_customers(plan: Plan, part: KeyRange, *, lines: bool = False) -> sql.Composed:
    """The customers, in the part's range, of the rows above the covered id, and the digest of these rows and, with
    `lines`, of their lines.

    A query of one row, as `newest_days` and `newest_orders`: the keys, and the digest or NULL; see `_newest` and
    `unchanged`. If an incremental run relies on rows that have changed since it was planned, the keys are NULL.
    """
    mine = sql.SQL("mobile_id <> '' AND {}").format(key_range(sql.Identifier("mobile_id"), part, "text"))
    keys = _newest(plan, sql.SQL("mobile_id::text"), mine)
    found = _with_digest(keys, _newest_digest(plan, mine, lines=lines))
    known = plan.get("since", {}).get("unchanged")
    if known is None:
        return found
    still = sql.SQL("SELECT ROW(last, rows, hashes) = ROW({}, {}, {}::numeric) FROM ({}) AS known").format(
        *map(sql.Literal, known), _known_digest(plan, known[0], lines=lines, guests=False)
    )
    return sql.SQL("SELECT CASE WHEN ({}) THEN keys END, digest FROM ({}) AS newest").format(still, found)


def newest_days(plan: Plan, part: KeyRange) -> sql.Composed:
    """The business days (since 2000-01-01) of such rows in the part's range of transaction ids and the run's window.

    For a connection with `use_time_zone`.
    """
    day = sql.SQL("({} - {})::text").format(
        business_date(local_time(sql.Identifier("created_at")), plan), sql.Literal(EPOCH)
    )
    of_part = sql.SQL("isfinite(created_at) AND {} AND {}").format(
        in_window(plan), key_range(sql.Identifier("transaction_id"), part, "bigint")
    )
    return sql.SQL("SELECT ({}), NULL").format(_newest(plan, day, of_part))


def newest_orders(plan: Plan, part: KeyRange) -> sql.Composed:
    """The customers (`c:` and the id) and business days (`d:` and the day) of such rows, in the part's range, and the
    digest of the rows and their lines.

    Its ranges are of transaction ids; on a connection with `use_time_zone`.
    """
    mine = key_range(sql.Identifier("transaction_id"), part, "bigint")
    customers = _newest(plan, sql.SQL("'c:' || mobile_id"), sql.SQL("mobile_id <> '' AND {}").format(mine))
    day = sql.SQL("'d:' || ({} - {})").format(
        business_date(local_time(sql.Identifier("created_at")), plan), sql.Literal(EPOCH)
    )
    days = _newest(plan, day, sql.SQL("isfinite(created_at) AND {} AND {}").format(in_window(plan), mine))
    keys = sql.SQL("SELECT ({}) || ({})").format(customers, days)  # either both are NULL or none
    return _with_digest(keys, _newest_digest(plan, mine, lines=True))


def _with_digest(keys: sql.Composable, digest: sql.Composable) -> sql.Composed:
    text = "SELECT keys, CASE WHEN keys IS NOT NULL THEN (SELECT concat_ws(':', last, rows, hashes) FROM ({}) AS d) END"
    return sql.SQL(text + " AS digest FROM (SELECT ({}) AS keys OFFSET 0) AS known").format(digest, keys)


def _newest_digest(plan: Plan, mine: sql.Composable, *, lines: bool) -> sql.Composed:
    newest = sql.SQL("transaction_id > {} AND {}").format(sql.Literal(plan["covered_id"]), mine)
    return _digest(newest, plan["covered_id"], lines=lines)


def _known_digest(plan: Plan, last: int, *, lines: bool, guests: bool) -> sql.Composed:
    known = sql.SQL("transaction_id > {} AND transaction_id <= {}{}").format(
        sql.Literal(plan["since"]["covered_id"]), sql.Literal(last), sql.SQL("" if guests else " AND mobile_id <> ''")
    )
    return _digest(known, plan["since"]["covered_id"], lines=lines)


def _digest(which: sql.Composable, covered: int | None, *, lines: bool) -> sql.Composed:
    """The highest id of these transactions, without any the covered one; how many rows they, and their lines, have;
    and the sum of their hashes.

    Such sums can be added, in any order.
    """
    hashed = (
        "SELECT transaction_id AS id, hashtextextended(ROW(transaction_id, mobile_id, total_amount,"
        " timestamptz_send(created_at))::text, 0) AS hash FROM fact_transactions WHERE {0}"
    )
    if lines:
        hashed += (
            " UNION ALL SELECT NULL, hashtextextended(ROW(transaction_id, item_id, quantity, price)::text, 0)"
            " FROM fact_transaction_items"
            " WHERE transaction_id IN (SELECT transaction_id FROM fact_transactions WHERE {0})"
        )
    summed = (
        "SELECT coalesce(max(id), {}) AS last, count(*) AS rows, coalesce(sum(hash), 0) AS hashes FROM ({}) AS hashed"
    )
    return sql.SQL(summed).format(sql.Literal(covered), sql.SQL(hashed).format(which))


def unchanged(
    crm: reading.Connection, plan: Plan, digests: Sequence[str] | None, *, lines: bool, guests: bool
) -> tuple[int, int, str] | None:
    """The highest id that the last run has read, with the number of rows and the sum of hashes, if all rows above its
    covered id are as it has read them; else None.

    The digests are those of its ledger, made from the same snapshots as its results: of orders, with `lines` also of
    their lines, and with `guests` also of orders without a customer.
    """
    if not digests or plan["covered_id"] is None:
        return None
    lasts, rows, hashes = zip(*(map(int, each.split(":")) for each in digests), strict=True)
    expected = max(lasts), sum(rows), sum(hashes)
    if crm.execute(_known_digest(plan, expected[0], lines=lines, guests=guests)).fetchone() != expected:
        return None
    return expected[0], expected[1], str(expected[2])


def orders_changed() -> UnavailableError:
    """The error of a run that relies on rows that have changed since it was planned, moments before."""
    return UnavailableError("Orders have changed while a run was planned. It is planned again.", code="orders_changed")


def _newest(plan: Plan, key: sql.Composable, of_part: sql.Composable) -> sql.Composable:
    """The part's keys as text[]; NULL if there is no covered id, or more new rows than LEDGER_ROWS."""
    if plan["covered_id"] is None:
        return sql.SQL("SELECT NULL::text[]")
    return sql.SQL(
        "SELECT CASE WHEN count(*) <= {most}"
        " THEN coalesce(array_agg(DISTINCT {key}) FILTER (WHERE {of_part}), '{{}}') END"
        " FROM (SELECT transaction_id, mobile_id, created_at FROM fact_transactions WHERE transaction_id > {covered}"
        " ORDER BY transaction_id LIMIT {most} + 1) AS newest"
    ).format(most=sql.Literal(LEDGER_ROWS), key=key, of_part=of_part, covered=sql.Literal(plan["covered_id"]))


def is_small(crm: reading.Connection, plan: Plan) -> bool:
    """True if the touched transactions are few enough to process inline instead of in a task."""
    if plan["recompute_all"] and plan["since"]["covered_id"] is not None:
        return False
    use_time_zone(crm, plan)
    query = sql.SQL("SELECT count(*) FROM (SELECT FROM ({}) AS touched LIMIT {}) AS counted")
    return int(scalar(crm, query.format(_transactions(plan), SMALL + 1))) <= SMALL


def _transactions(plan: Plan) -> sql.Composable:
    """The touched transactions' customers and times; one UNION branch per reason, so that each can use an index.

    For a connection with `use_time_zone`.
    """
    last: Mapping[str, Any] = plan["since"]
    if last["covered_id"] is None:
        return sql.SQL("SELECT mobile_id, created_at FROM fact_transactions")
    reasons = [
        sql.SQL("transaction_id > {}").format(sql.Literal((last.get("unchanged") or [last["covered_id"]])[0])),
        sql.SQL("created_at > {}::timestamptz AND created_at <= {}::timestamptz").format(
            sql.Literal(last["as_of"]), sql.Literal(plan["as_of"])
        ),
        *(
            sql.SQL("transaction_id BETWEEN {} AND {}").format(sql.Literal(first), sql.Literal(until))
            for first, until in last["named_ids"]
        ),
        *(on_days(plan, *days) for days in [moved_days(plan)] if days is not None),
    ]
    branch = sql.SQL("SELECT mobile_id, created_at FROM fact_transactions WHERE {}")
    return sql.SQL(" UNION ALL ").join(branch.format(reason) for reason in reasons)


def customers(crm: reading.Connection, plan: Plan) -> list[str]:
    """The current customers of the touched transactions."""
    use_time_zone(crm, plan)
    return [customer for (customer,) in crm.execute(customers_query(plan)).fetchall()]


def customers_query(plan: Plan) -> sql.Composed:
    """The same as a query, for a connection with `use_time_zone`."""
    query = "SELECT DISTINCT mobile_id::text AS mobile_id FROM ({}) AS touched WHERE mobile_id <> ''"
    return sql.SQL(query).format(_transactions(plan))


def days(crm: reading.Connection, plan: Plan, ledger: Iterable[str]) -> list[int]:
    """The business days (since 2000-01-01) with touched transactions in the run's window, the ledger's days, and days
    that have left the window.
    """
    query = sql.SQL(
        "SELECT DISTINCT {day} - {epoch} FROM ({touched}) AS touched WHERE isfinite(created_at) AND {window}"
    ).format(
        day=business_date(local_time(sql.Identifier("created_at")), plan),
        epoch=sql.Literal(EPOCH),
        touched=_transactions(plan),
        window=in_window(plan),
    )
    use_time_zone(crm, plan)
    left, until = moved_days(plan) or (EPOCH, EPOCH)
    moved = range((left - EPOCH).days, (until - EPOCH).days)
    return sorted({*(day for (day,) in crm.execute(query).fetchall()), *map(int, ledger), *moved})


def day_buckets(crm: reading.Connection, plan: Plan, ledger: Iterable[str]) -> list[str]:
    """The first dates of the day buckets of these days."""
    return day_buckets_of(plan, days(crm, plan, ledger))


def as_of(plan: Plan) -> datetime:
    """The plan's `as_of`."""
    return datetime.fromisoformat(plan["as_of"])
