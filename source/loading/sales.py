"""A flat export, one row per sold line, split into orders, lines and menu items.

The rows are copied unchanged to a temporary table with our column names. SQL then groups them, so that memory does not
grow with the file. An order's columns may be repeated in each of its rows or be in the first row only; a row without
an order id belongs to the order above. Without a column for the order, each row is an order.
"""

from __future__ import annotations

from psycopg import sql

from postgres import scalar
from source.loading.columns import SALES
from source.loading.landing import TYPES, Connection, Landing
from source.loading.maps import Map
from source.loading.numbers import ITEMS, ORDERS, give_numbers
from source.loading.report import Loaded

# SQL for a line's amount, and for its price per piece.
AMOUNT = "coalesce(line_total, coalesce(quantity, 1) * price - abs(coalesce(discount, 0)))"
PRICE = (
    "CASE WHEN line_total IS NULL AND coalesce(discount, 0) = 0 THEN price"
    f" ELSE trim_scale(({AMOUNT}) / nullif(coalesce(quantity, 1), 0)) END"
)
ONCE = ("total_amount", "tip", "refund")  # columns of the order, not of a line


def split(connection: Connection, sales: Landing, sales_map: Map, loaded: Loaded) -> dict[str, Landing]:
    """Split the landed sales into landings of orders, lines and menu items.

    Raises
    ------
    LoadError
        With the first row that has no order, or another total than its order's other rows.
    """
    mapped = set(sales.columns)
    _add_columns(connection)
    if "transaction_id" in mapped:
        _take_from_above(connection, sales)
    else:
        _name_rows(connection, sales)
    has_items = bool(mapped & {"item_id", "menu_item_name"})
    if has_items:
        # The name is the id of an item without an id.
        named = (
            "UPDATE sales SET item_id_text = trim(menu_item_name)"
            " WHERE item_id IS NULL AND item_id_text IS NULL AND trim(menu_item_name) <> ''"
        )
        if connection.execute(named).rowcount:
            sales.texts.add("item_id")
    sales.columns = [column.name for column in SALES]
    give_numbers(connection, ORDERS, [sales], loaded)
    give_numbers(connection, ITEMS, [sales], loaded)
    _leave_out(connection, sales_map, loaded)
    for name in ONCE:
        _require_one(connection, sales, name)
    landings = {"fact_transactions": _orders(connection, sales, sales_map, loaded)}
    if has_items:
        landings["fact_transaction_items"] = _lines(connection, sales, loaded)
        landings["dim_menu_items"] = _menu(connection, sales, mapped)
    return landings


def remove_left_out(connection: Connection, loaded: Loaded) -> None:
    """Remove stored orders whose rows are all left out now, since they were cancelled after an earlier load."""
    gone = "(SELECT transaction_id FROM sales EXCEPT SELECT transaction_id FROM kept)"
    lines = _run(connection, "DELETE FROM fact_transaction_items WHERE transaction_id IN {gone}", gone=gone)
    orders = _run(connection, "DELETE FROM fact_transactions WHERE transaction_id IN {gone}", gone=gone)
    if orders or lines:
        loaded.removed["fact_transactions"] = orders
        loaded.removed["fact_transaction_items"] = loaded.removed.get("fact_transaction_items", 0) + lines


def _run(connection: Connection, query: str, **parts: str) -> int:
    """Run a statement; returns the number of affected rows. `parts` are SQL of this module."""
    return connection.execute(_sql(query, **parts)).rowcount


def _sql(query: str, **parts: str) -> sql.Composed:
    return sql.SQL(query).format(**{name: sql.SQL(part) for name, part in parts.items()})


def _add_columns(connection: Connection) -> None:
    """Add the columns that the file does not have, so that the statements below are the same for all files."""
    for column in SALES:
        names = [column.name, f"{column.name}_text"] if column.kind == "key" else [column.name]
        for name, kind in zip(names, (TYPES[column.kind], "text"), strict=False):
            _run(connection, "ALTER TABLE sales ADD COLUMN IF NOT EXISTS {name} {kind}", name=name, kind=kind)
    connection.execute("CREATE INDEX ON sales (record)")


def _take_from_above(connection: Connection, sales: Landing) -> None:
    missing = "transaction_id IS NULL AND transaction_id_text IS NULL"
    if not scalar(connection, _sql("SELECT EXISTS (SELECT FROM sales WHERE {missing})", missing=missing)):
        return
    _run(
        connection,
        "CREATE TEMP TABLE above ON COMMIT DROP AS SELECT record, missing, place,"
        " max(transaction_id) OVER same AS id, max(transaction_id_text) OVER same AS text, created_at,"
        " first_value(created_at) OVER (same ORDER BY record) AS since FROM"
        " (SELECT *, {missing} AS missing, count(*) FILTER (WHERE NOT ({missing})) OVER (ORDER BY record) AS place"
        " FROM sales) AS placed WINDOW same AS (PARTITION BY place)",
        missing=missing,
    )
    record = scalar(connection, "SELECT min(record) FROM above WHERE missing AND place = 0")
    if record is not None:
        sales.refuse(record, "transaction_id", "the order's id is missing, and no order is above")
    record = scalar(connection, "SELECT min(record) FROM above WHERE missing AND created_at <> since")
    if record is not None:
        sales.refuse(record, "transaction_id", "the order's id is missing, and the order above has another time")
    connection.execute(
        "UPDATE sales SET transaction_id = id, transaction_id_text = text FROM above"
        " WHERE missing AND above.record = sales.record"
    )


def _name_rows(connection: Connection, sales: Landing) -> None:
    """Set an id for each row from its content and the number of equal rows before it; stable over exports."""
    columns = [
        "extract(epoch FROM created_at)" if column.name == "created_at" else column.name
        for column in SALES
        if column.name in sales.columns
    ]
    _run(
        connection,
        "UPDATE sales SET transaction_id_text = 'row ' || said || ' ' || place FROM (SELECT record, said,"
        " row_number() OVER (PARTITION BY said ORDER BY record) AS place"
        " FROM (SELECT record, md5(ROW({columns})::text) AS said FROM sales) AS rows) AS named"
        " WHERE named.record = sales.record",
        columns=", ".join(columns),
    )
    sales.texts.add("transaction_id")


def _leave_out(connection: Connection, sales_map: Map, loaded: Loaded) -> None:
    """Create `kept`: the rows whose status, or else their order's, is not left out by the map."""
    if not {"status", "cancelled_at"} & set(sales_map.columns):
        connection.execute("CREATE TEMP VIEW kept AS SELECT * FROM sales")
        return
    rows = connection.execute(
        sql.SQL(
            "CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT sales.* FROM sales JOIN (SELECT transaction_id,"
            " {status} AS status, max(cancelled_at) AS cancelled_at FROM sales GROUP BY transaction_id)"
            " AS whole USING (transaction_id) WHERE whole.cancelled_at IS NULL AND"
            " (lower(trim(coalesce(sales.status, whole.status))) = ANY({words})) IS NOT TRUE"
        ).format(status=sql.SQL(_first("status")), words=sql.Literal(sorted(sales_map.leave_out)))
    ).rowcount
    loaded.left_out = int(scalar(connection, "SELECT count(*) FROM sales")) - rows


def _require_one(connection: Connection, sales: Landing, column: str) -> None:
    """Refuse an order whose rows have different totals, since these are probably the lines'."""
    query = _sql(
        "SELECT min(record) FROM kept JOIN (SELECT transaction_id, min({column}) AS least FROM kept"
        " GROUP BY transaction_id HAVING min({column}) <> max({column})) AS several USING (transaction_id)"
        " WHERE {column} <> least",
        column=column,
    )
    record = scalar(connection, query)
    if record is not None:
        instead = "; if it is the line's amount, map it as line_total" if column == "total_amount" else ""
        sales.refuse(record, column, f"the rows of one order have different values{instead}")


def _orders(connection: Connection, sales: Landing, sales_map: Map, loaded: Loaded) -> Landing:
    _run(
        connection,
        "CREATE TEMP TABLE landed_orders ON COMMIT DROP AS SELECT min(record) AS record, transaction_id,"
        " min(transaction_id_text) AS transaction_id_text, {customer} AS mobile_id,"
        " coalesce(max(total_amount) - coalesce(max(tip), 0),"
        # If some rows have items, rows without an item only repeat the order's amount or payment.
        " sum({cents}) FILTER (WHERE item_id IS NOT NULL), sum({cents}))"
        " - abs(coalesce(max(refund), 0)) AS total_amount, min(created_at) AS created_at,"
        " min(mobile_id) <> max(mobile_id) AS several, max(created_at) - min(created_at) >= '12 h' AS apart"
        " FROM kept GROUP BY transaction_id",
        customer=_first("mobile_id"),
        cents=f"round({AMOUNT}, 2) + coalesce(tax, 0)",  # a till rounds each line
    )
    for condition, what in (
        ("created_at IS NULL", "without a time, which runs skip"),
        ("total_amount IS NULL", "without an amount, which runs skip"),
        ("several", "with several customers, of whom the first was taken"),
        (
            "apart",
            "whose rows are 12 hours or more apart; if numbers restart, join them with the date in the map, such as"
            ' transaction_id = ["Date", "Receipt"]',
        ),
    ):
        if condition == "several" and len(sales_map.columns.get("mobile_id", ())) > 1:
            continue  # a phone number in the first row, an e-mail address in the others
        query = _sql("SELECT count(*), min(record) FROM landed_orders WHERE {condition}", condition=condition)
        count, first = connection.execute(query).fetchone() or (0, 0)
        if count:
            line = sales.file.lines_of([first])[first]
            where = f"{count:,}, the first in {sales.file.unit} {line}"
            loaded.warnings.append(f"{sales.file.path}: orders {what} ({where})")
    columns = ["transaction_id", "mobile_id", "total_amount", "created_at"]
    return Landing("landed_orders", sales.file, columns, sales.texts)


def _first(column: str) -> str:
    """The order's first value of a column, as SQL."""
    return f"(array_agg({column} ORDER BY record) FILTER (WHERE {column} IS NOT NULL))[1]"


def _lines(connection: Connection, sales: Landing, loaded: Loaded) -> Landing:
    _run(
        connection,
        "CREATE TEMP TABLE landed_lines ON COMMIT DROP AS SELECT record, transaction_id, item_id,"
        " coalesce(quantity, 1) AS quantity, {price} AS price FROM kept WHERE item_id IS NOT NULL",
        price=PRICE,
    )
    bare = scalar(connection, "SELECT count(*) FROM kept WHERE item_id IS NULL")
    if bare:
        loaded.warnings.append(f"{sales.file.path}: rows without an item, which are not lines ({bare:,})")
    return Landing("landed_lines", sales.file, ["transaction_id", "item_id", "quantity", "price"])


def _menu(connection: Connection, sales: Landing, mapped: set[str]) -> Landing:
    """Each item with the name, price and category of its latest sale, or of its latest refund if there are no sales."""
    _run(
        connection,
        "CREATE TEMP TABLE landed_menu ON COMMIT DROP AS SELECT DISTINCT ON (item_id) record, item_id,"
        " coalesce(nullif(trim(menu_item_name), ''), item_id_text, item_id::text) AS menu_item_name,"
        " coalesce(price, {price}) AS price, category FROM kept WHERE item_id IS NOT NULL"
        " ORDER BY item_id, (quantity <= 0 OR coalesce(price, {price}) < 0) IS TRUE, created_at DESC NULLS LAST,"
        " record DESC",
        price=PRICE,
    )
    columns = ["item_id", "menu_item_name", "price", *(["category"] if "category" in mapped else [])]
    return Landing("landed_menu", sales.file, columns)
