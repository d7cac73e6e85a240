"""The SQL that doctor prints to fix a source table: a view with the needed columns and types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from source.reading import FLOATS, INTEGERS

SCHEMA = "smartcrm_source"
# Columns that runs don't need; the view gives a constant.
_ABSENT = {"category": "NULL::text", "menu_item_name": "NULL::text", "quantity": "1"}
# Ids have to be increasing numbers, so the table with a text or uuid id as key gets an identity column.
_KEYS = {
    "fact_transactions": ("transaction_id", "order_number"),
    "dim_menu_items": ("item_id", "item_number"),
}
_NUMBERED = {column: (table, number) for table, (column, number) in _KEYS.items()}


def view_statements(
    table: str, schema: str, columns: Iterable[str], wrong: Mapping[str, str | None], user: str, timezone: str
) -> str:
    """The SQL that fixes a table: `wrong` has each column with a wrong type, and None for a missing column."""
    made = [f"CREATE SCHEMA IF NOT EXISTS {SCHEMA};"]
    joined, shown = f"{schema}.{table} AS t", []
    for column in columns:
        kind = wrong.get(column, "")
        if kind is None:
            shown.append(f"{_ABSENT.get(column, '…')} AS {column}")
        elif kind and column in _NUMBERED and not _is_number(kind):
            key_table, number = _NUMBERED[column]
            add = f"ADD COLUMN IF NOT EXISTS {number} bigint GENERATED ALWAYS AS IDENTITY"
            made.append(f"ALTER TABLE {schema}.{key_table} {add};")
            if key_table == table:
                shown.append(f"t.{number} AS {column}")
            else:
                joined += f" LEFT JOIN {schema}.{key_table} AS {number}s ON {number}s.{column} = t.{column}"
                shown.append(f"{number}s.{number} AS {column}")
        else:
            shown.append(_cast(column, kind, timezone) if kind else f"t.{column}")
    made.append(f"CREATE VIEW {SCHEMA}.{table} AS SELECT {', '.join(shown)} FROM {joined};")  # noqa: S608  # names and types of the catalog, for a person to read
    made.append(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {user}; GRANT SELECT ON {SCHEMA}.{table} TO {user};")
    made.append(f"ALTER ROLE {user} SET search_path = {SCHEMA}, {schema};")
    return " ".join(made)


def _is_number(kind: str) -> bool:
    return kind in INTEGERS | FLOATS or kind.startswith("numeric")


def _cast(column: str, kind: str, timezone: str) -> str:
    zone = timezone.replace("'", "''")
    if column == "created_at" and kind.startswith("timestamp"):
        return f"t.{column} AT TIME ZONE '{zone}' AS {column}"
    if column == "created_at" and kind == "date":  # a date without a time means its noon
        return f"(t.{column} + time '12:00') AT TIME ZONE '{zone}' AS {column}"
    wanted = {"created_at": "timestamptz", "transaction_id": "bigint", "item_id": "bigint"}.get(column)
    if wanted is None:
        wanted = "text" if column in ("mobile_id", "menu_item_name", "category") else "numeric"
    return f"t.{column}::{wanted} AS {column}"
