"""Checks of the orders' values for `smartcrm doctor`: ids, amounts, times."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from errors import SmartCRMError
from postgres import scalar
from source import limits, reading
from source.checks import Finding

# Ids that programs write for guests; each of them would count as one customer.
NOBODY = ("nan", "null", "none", "nil", "n/a", "na", "#n/a", "undefined", "unknown", "guest", "-", "0", "0.0", "")
TIMEOUT = 60  # seconds for each check, which reads all rows of a table

# A unique index makes reading the rows unnecessary.
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
_NOBODY = """
SELECT count(*), min(transaction_id) FROM fact_transactions
WHERE mobile_id <> '' AND lower(btrim(mobile_id)) = ANY(%s)
"""
# Ids that differ only in plus signs, white space and leading zeros.
_ALIKE = r"""
SELECT count(*) OVER (), min(mobile_id), max(mobile_id) FROM (SELECT DISTINCT mobile_id FROM fact_transactions
WHERE mobile_id <> '' AND NOT lower(btrim(mobile_id)) = ANY(%s)) AS customers
GROUP BY ltrim(regexp_replace(mobile_id, '[\s+]', '', 'g'), '0') HAVING count(*) > 1 ORDER BY 2 LIMIT 1
"""


def values(url: str) -> Iterator[Finding]:
    """Findings about rows that make runs fail, count twice, or do not count yet; none if tables can't be read."""
    for check in (_repeated, _amounts, _lines, _future, _nobody, _alike):
        try:
            with reading.connect(url) as crm:
                crm.execute(f"SET LOCAL statement_timeout = '{TIMEOUT}s'")
                yield from check(crm)
        except psycopg.errors.QueryCanceled:
            yield Finding("warning", "source", f"too large: a check of all values takes more than {TIMEOUT} s")
            return
        except (SmartCRMError, psycopg.Error):  # source.checks reports tables that can't be read
            return


def _repeated(crm: reading.Connection) -> Iterator[Finding]:
    if scalar(crm, _UNIQUE):
        return
    count, first = crm.execute(_REPEATED).fetchone() or (0, None)
    if count:
        come = "id comes" if count == 1 else "ids come"
        found = f"{count:,} transaction {come} more than once, such as {first}: each of their rows counts as an order"
        remedy = "Provide a view with one row per order: sum its payments."
        yield Finding("warning", "fact_transactions", found, remedy)


def _nobody(crm: reading.Connection) -> Iterator[Finding]:
    count, first = crm.execute(_NOBODY, [list(NOBODY)]).fetchone() or (0, None)
    if count:
        have = "transaction has" if count == 1 else "transactions have"
        found = (
            f"{count:,} {have} an id that stands for nobody (nan, null, none, 0 …), such as {first}: one customer to us"
        )
        remedy = "Provide a view that makes them NULL; docs/views.md shows it."
        yield Finding("warning", "fact_transactions", found, remedy)


def _alike(crm: reading.Connection) -> Iterator[Finding]:
    row = crm.execute(_ALIKE, [list(NOBODY)]).fetchone()
    if row is None:
        return
    count, *ids = row
    # The finding must not name customers, so it names a transaction of each.
    shown = [
        scalar(crm, "SELECT min(transaction_id) FROM fact_transactions WHERE mobile_id = %s", each) for each in ids
    ]
    come = "customer comes" if count == 1 else "customers come"
    found = (
        f"{count:,} {come} with ids that differ only in +, zeros or spaces, such as those of transactions"
        f" {shown[0]} and {shown[1]}: each spelling is a separate customer"
    )
    remedy = "Provide a view with one spelling (E.164); docs/views.md shows it."
    yield Finding("warning", "fact_transactions", found, remedy)


def _amounts(crm: reading.Connection) -> Iterator[Finding]:
    found = limits.amounts(crm, reading.column_types(crm, "fact_transactions"))
    if found is not None:
        yield Finding("fault", "fact_transactions", found, "Correct or remove the wrong amounts.")


def _lines(crm: reading.Connection) -> Iterator[Finding]:
    found = limits.lines(crm, reading.column_types(crm, "fact_transaction_items"))
    if found is not None:
        yield Finding("fault", "fact_transaction_items", found, "Correct or remove the wrong lines.")


def _future(crm: reading.Connection) -> Iterator[Finding]:
    count, first = crm.execute(_FUTURE).fetchone() or (0, None)
    if count:
        are = "transaction is" if count == 1 else "transactions are"
        found = f"{count:,} {are} dated in the future, such as {first}: runs leave them out until then"
        yield Finding("warning", "fact_transactions", found, "Check the clock and the time zone that wrote them.")
