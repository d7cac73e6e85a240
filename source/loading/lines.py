"""Lines of orders: adding ids and quantities that a file lacks, and handling lines that exist already."""

from __future__ import annotations

from psycopg import sql

from postgres import scalar
from source.loading.landing import Connection, Landing
from source.loading.options import OnConflict
from source.loading.report import Loaded

LINES = "fact_transaction_items"
FOR_ORDER = "SELECT FROM fact_transaction_items AS lines WHERE lines.transaction_id = {landing}.transaction_id"


def add_columns(connection: Connection, landing: Landing) -> None:
    """Add the columns that the file may lack; a line without a quantity is one piece."""
    for column, kind in (("id", "bigint"), ("quantity", "numeric DEFAULT 1")):
        if column not in landing.columns:
            query = "ALTER TABLE {landing} ADD {column} {kind}"
            _run(connection, query, landing, column=sql.Identifier(column), kind=sql.SQL(kind))
            landing.columns.append(column)


def make_room(
    connection: Connection, landing: Landing, how: OnConflict, loaded: Loaded, orders: Landing | None
) -> None:
    """Handle lines whose orders have lines already, and number the lines that have no id.

    update replaces the lines of the files' orders if they differ; skip skips lines of orders that have lines.

    Raises
    ------
    LoadError
        For refuse, with the first line without an id whose order has lines.
    """
    if how == "update":
        loaded.removed[LINES] = _remove_changed(connection, landing, orders)
    if how == "skip":
        query = "DELETE FROM {landing} WHERE EXISTS ({for_order})"
        loaded.skipped[LINES] = _run(connection, query, landing)
    query = "SELECT EXISTS (SELECT FROM {landing} WHERE id IS NULL)"
    if not scalar(connection, sql.SQL(query).format(landing=landing.table)):
        return
    if how == "refuse":
        query = "SELECT min(record) FROM {landing} WHERE id IS NULL AND EXISTS ({for_order})"
        for_order = sql.SQL(FOR_ORDER).format(landing=landing.table)
        record = scalar(connection, sql.SQL(query).format(landing=landing.table, for_order=for_order))
        if record is not None:
            reason = "its order has lines already (--on-conflict update replaces them, skip keeps them)"
            landing.refuse(record, "transaction_id", reason)
    _run(
        connection,
        "UPDATE {landing} SET id = highest + place FROM (SELECT record, row_number() OVER (ORDER BY record) AS place"
        " FROM {landing} WHERE id IS NULL) AS numbered, (SELECT greatest(max(id), 0) AS highest FROM (SELECT id FROM"
        " fact_transaction_items UNION ALL SELECT id FROM {landing}) AS ids) AS used"
        " WHERE numbered.record = {landing}.record",
        landing,
    )


def _remove_changed(connection: Connection, landing: Landing, orders: Landing | None) -> int:
    """Remove the lines of the files' orders, except of orders whose lines are unchanged; returns how many."""
    hashed = (
        "SELECT transaction_id, md5(string_agg(ROW({id}, item_id, trim_scale(quantity::numeric),"
        " trim_scale(price::numeric))::text, ',' ORDER BY {id}, item_id, quantity, price)) AS said FROM {relation}"
        " WHERE transaction_id IN (SELECT transaction_id FROM {landing}) GROUP BY transaction_id"
    )
    query = "SELECT NOT EXISTS (SELECT FROM {landing} WHERE id IS NULL)"
    with_ids = scalar(connection, sql.SQL(query).format(landing=landing.table))
    parts = {"id": sql.SQL("id" if with_ids else "0"), "landing": landing.table}
    _run(
        connection,
        "CREATE TEMP TABLE unchanged ON COMMIT DROP AS SELECT transaction_id FROM ({there}) AS there"
        " JOIN ({new}) AS new USING (transaction_id, said)",
        landing,
        there=sql.SQL(hashed).format(**parts, relation=sql.Identifier(LINES)),
        new=sql.SQL(hashed).format(**parts, relation=landing.table),
    )
    _run(
        connection,
        "DELETE FROM {landing} USING unchanged AS same WHERE {landing}.transaction_id = same.transaction_id",
        landing,
    )
    removed = 0
    for named in [landing, *([orders] if orders is not None else [])]:
        removed += _run(
            connection,
            "DELETE FROM fact_transaction_items WHERE transaction_id IN (SELECT transaction_id FROM {named})"
            " AND NOT EXISTS (SELECT FROM unchanged WHERE unchanged.transaction_id ="
            " fact_transaction_items.transaction_id)",
            landing,
            named=named.table,
        )
    # A line may have moved here from another order.
    query = "DELETE FROM fact_transaction_items WHERE id IN (SELECT id FROM {landing})"
    return removed + _run(connection, query, landing)


def _run(connection: Connection, query: str, landing: Landing, **parts: sql.Composable) -> int:
    """Run a statement on the landing; returns the number of affected rows."""
    for_order = sql.SQL(FOR_ORDER).format(landing=landing.table)
    return connection.execute(sql.SQL(query).format(landing=landing.table, for_order=for_order, **parts)).rowcount
