"""What an incremental run looks at: every transaction that may be new since the run that is published.

That is those with an id above the last covered one, those that an import named, and those whose time lies
between the last `as_of` and this one. Their customers and business days are then read anew, whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import sql

from store import source
from store.database import scalar
from store.models import Published, Run
from store.window import EPOCH, Plan, business_date, in_window, local_time, stretches_of, use_time_zone

# Transactions commit out of order: one with a lower id may appear after one with a higher id was read. The
# newest rows by id are therefore taken as not yet covered; counted in rows, so that sparse ids are no trap.
OVERLAP_ROWS = 1_000


def covered_id(crm: source.Connection) -> int | None:
    """The id up to which a run that is planned now sees everything; None where nothing is so old."""
    found = scalar(
        crm,
        "SELECT transaction_id FROM fact_transactions WHERE transaction_id IS NOT NULL"
        " ORDER BY transaction_id DESC OFFSET %s LIMIT 1",
        OVERLAP_ROWS,
    )
    return None if found is None else int(found)


def since(published: Published, last: Run, named_ids: Sequence[Sequence[int]]) -> dict[str, Any]:
    """What an incremental run's plan says of the state that it builds on."""
    assert last.plan is not None
    return {
        "generation": published.generation,
        "as_of": published.as_of.isoformat(),
        "covered_id": last.plan["covered_id"],
        "named_ids": named_ids,
    }


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


def customers(crm: source.Connection, plan: Plan) -> list[str]:
    """The customers of the touched transactions."""
    query = sql.SQL("SELECT DISTINCT mobile_id FROM ({}) AS touched WHERE mobile_id <> ''").format(_transactions(plan))
    return [customer for (customer,) in crm.execute(query).fetchall()]


def stretches(crm: source.Connection, plan: Plan) -> list[str]:
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
