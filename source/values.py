"""What `smartcrm doctor` looks for in the orders themselves: repeated ids, amounts too large, orders dated ahead."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from errors import SmartCRMError
from postgres import scalar
from source import limits, reading
from source.checks import Finding

PATIENCE = 60  # seconds for each look: a look at all rows of a large table takes a while

# A unique index says so without a look at the rows.
_UNIQUE = """
SELECT EXISTS (SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
WHERE indrelid = to_regclass('fact_transactions') AND attname = 'transaction_id' AND indisunique AND indnkeyatts = 1
AND indisvalid AND indpred IS NULL)
"""
_REPEATED = """
SELECT count(*), min(transaction_id) FROM (SELECT transaction_id FROM fact_transactions
WHERE transaction_id IS NOT NULL GROUP BY transaction_id HAVING count(*) > 1) AS repeated
"""
_FUTURE = (
    "SELECT count(*), min(transaction_id) FROM fact_transactions WHERE created_at > now() AND isfinite(created_at)"
)


def values(url: str) -> Iterator[Finding]:
    """What makes runs fail, or counts twice or not yet; nothing where the tables can't be read at all."""
    for look in (_repeated, _amounts, _lines, _future):
        try:
            with reading.connect(url) as crm:
                crm.execute(f"SET LOCAL statement_timeout = '{PATIENCE}s'")
                yield from look(crm)
        except psycopg.errors.QueryCanceled:
            yield Finding("warning", "source", f"too large to look at all values within {PATIENCE} s each")
            return
        except (SmartCRMError, psycopg.Error):  # tables that can't be read are another check's to tell
            return


def _repeated(crm: reading.Connection) -> Iterator[Finding]:
    if scalar(crm, _UNIQUE):
        return
    count, first = crm.execute(_REPEATED).fetchone() or (0, None)
    if count:
        come = "id comes" if count == 1 else "ids come"
        found = f"{count:,} transaction {come} more than once, such as {first}: each of their rows counts as an order"
        yield Finding("warning", "fact_transactions", found, "Offer a view with one row per order: sum its payments.")


def _amounts(crm: reading.Connection) -> Iterator[Finding]:
    found = limits.amounts(crm, reading.column_types(crm, "fact_transactions"))
    if found is not None:
        yield Finding("fault", "fact_transactions", found, "Mend or leave out what nobody paid.")


def _lines(crm: reading.Connection) -> Iterator[Finding]:
    found = limits.lines(crm, reading.column_types(crm, "fact_transaction_items"))
    if found is not None:
        yield Finding("fault", "fact_transaction_items", found, "Mend or leave out what nobody sold.")


def _future(crm: reading.Connection) -> Iterator[Finding]:
    count, first = crm.execute(_FUTURE).fetchone() or (0, None)
    if count:
        are = "transaction is" if count == 1 else "transactions are"
        found = f"{count:,} {are} dated in the future, such as {first}: runs leave them out until then"
        yield Finding("warning", "fact_transactions", found, "Look at the clock or the time zone that wrote them.")
