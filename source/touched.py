"""What an incremental run looks at: every transaction that may be new since the run that is published.

That is those with an id above the last covered one, those that an import named, and those whose time lies
between the last `as_of` and this one. Their customers and business days are then read anew, whole.

A row that was named may have been another customer's before, or of another day, or be gone, and nobody keeps what it
was. So where rows were named that the last run had read already, everything is read anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import sql

from postgres import scalar
from source import reading
from source.window import EPOCH, Plan, business_date, in_window, local_time, stretches_of, use_time_zone

# Transactions commit out of order: one with a lower id may appear after one with a higher id was read. The
# newest rows by id are therefore taken as not yet covered; counted in rows, so that sparse ids are no trap.
OVERLAP_ROWS = 1_000
FEW = 10_000  # touched transactions that are read within a second or so

# Whose the newest rows are, and of when; a sum, so that their order does not matter.
_OWNERS = """
SELECT coalesce(sum(hash_record_extended(ROW(transaction_id, mobile_id, created_at), 0)), 0)::text
FROM fact_transactions WHERE transaction_id > %s AND transaction_id <= %s
"""


def covered(crm: reading.Connection) -> dict[str, Any]:
    """What a run that is planned now covers, for the next one's plan.

    `covered_id` is the id up to which it sees everything, None where nothing is so old; `last_id` the highest one, and
    `owners` tells whether one of the rows between them changed its customer or time, or went.
    """
    found = scalar(
        crm,
        "SELECT transaction_id FROM fact_transactions WHERE transaction_id IS NOT NULL"
        " ORDER BY transaction_id DESC OFFSET %s LIMIT 1",
        OVERLAP_ROWS,
    )
    if found is None:
        return {"covered_id": None, "last_id": None, "owners": None}
    last_id = scalar(crm, "SELECT max(transaction_id) FROM fact_transactions")
    return {"covered_id": found, "last_id": last_id, "owners": scalar(crm, _OWNERS, found, last_id)}


def everything(crm: reading.Connection, plan: Plan) -> bool:
    """Whether all customers and days have to be read anew: all rows may be new, or rows were named that were read."""
    last: Mapping[str, Any] = plan["since"]
    if last["covered_id"] is None:
        return True
    oldest = min((first for first, _ in last["named_ids"]), default=None)
    if oldest is None or (last["last_id"] is not None and oldest > last["last_id"]):
        return False
    if last["last_id"] is None or oldest <= last["covered_id"]:
        return True
    return bool(scalar(crm, _OWNERS, last["covered_id"], last["last_id"]) != last["owners"])


def few(crm: reading.Connection, plan: Plan) -> bool:
    """Whether what is touched is read so fast that a task of its own would cost more."""
    if plan["everything"] and plan["since"]["covered_id"] is not None:
        return False
    query = sql.SQL("SELECT count(*) FROM (SELECT FROM ({}) AS touched LIMIT {}) AS counted")
    return int(scalar(crm, query.format(_transactions(plan), FEW + 1))) <= FEW


def _transactions(plan: Plan) -> sql.Composable:
    """The touched transactions' customers and times; one branch per reason, so that each can use its index."""
    last: Mapping[str, Any] = plan["since"]
    if last["covered_id"] is None:
        return sql.SQL("SELECT mobile_id, created_at FROM fact_transactions")
    reasons = [
        sql.SQL("transaction_id > {}").format(sql.Literal(last["covered_id"])),
        sql.SQL("created_at > {}::timestamptz AND created_at <= {}::timestamptz").format(
            sql.Literal(last["as_of"]), sql.Literal(plan["as_of"])
        ),
        *(
            sql.SQL("transaction_id BETWEEN {} AND {}").format(sql.Literal(first), sql.Literal(until))
            for first, until in last["named_ids"]
        ),
    ]
    branch = sql.SQL("SELECT mobile_id, created_at FROM fact_transactions WHERE {}")
    return sql.SQL(" UNION ALL ").join(branch.format(reason) for reason in reasons)


def customers(crm: reading.Connection, plan: Plan) -> list[str]:
    """The customers of the touched transactions."""
    query = sql.SQL("SELECT DISTINCT mobile_id FROM ({}) AS touched WHERE mobile_id <> ''").format(_transactions(plan))
    return [customer for (customer,) in crm.execute(query).fetchall()]


def stretches(crm: reading.Connection, plan: Plan) -> list[str]:
    """The first dates of the stretches of business days, in the run's window, that hold touched transactions."""
    query = sql.SQL(
        "SELECT DISTINCT {day} - {epoch} FROM ({touched}) AS touched WHERE isfinite(created_at) AND {window}"
    ).format(
        day=business_date(local_time(sql.Identifier("created_at")), plan),
        epoch=sql.Literal(EPOCH),
        touched=_transactions(plan),
        window=in_window(plan),
    )
    use_time_zone(crm, plan)
    return stretches_of(plan, [day for (day,) in crm.execute(query).fetchall()])


def as_of(plan: Plan) -> datetime:
    """The plan's `as_of`."""
    return datetime.fromisoformat(plan["as_of"])
