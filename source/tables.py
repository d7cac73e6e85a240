"""The four source tables as `smartcrm load` creates them, and the recommended indexes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SourceTable:
    """One source table: its columns, its key, and the DDL of its recommended indexes."""

    name: str
    columns: dict[str, str]
    key: str
    indexes: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()  # columns that the CRM's own table may lack
    made_as: Mapping[str, str] = field(default_factory=dict)  # narrower types for a new table, if the values fit

    @property
    def ddl(self) -> str:
        """The CREATE TABLE statement. Only the key is NOT NULL: runs skip and count rows with other NULLs."""
        columns = ", ".join(f"{column} {kind}" for column, kind in {**self.columns, **self.made_as}.items())
        return f"CREATE TABLE {self.name} ({columns}, PRIMARY KEY ({self.key}))"


# Amounts have no scale, so that half cents are kept.
SOURCE_TABLES = {
    table.name: table
    for table in (
        SourceTable(
            "fact_transactions",
            {"transaction_id": "bigint", "mobile_id": "text", "total_amount": "numeric", "created_at": "timestamptz"},
            "transaction_id",
            (
                # For index-only scans of a customer shard, or of one customer.
                "CREATE INDEX ON fact_transactions (mobile_id) INCLUDE (created_at, total_amount)",
                "CREATE INDEX ON fact_transactions (created_at)",
            ),
        ),
        SourceTable(
            "fact_transaction_items",
            {
                "id": "bigint",
                "transaction_id": "bigint",
                "item_id": "bigint",
                "quantity": "numeric",
                "price": "numeric",
            },
            "id",
            (
                # For index-only scans of the menu's ranges.
                "CREATE INDEX ON fact_transaction_items (transaction_id, item_id) INCLUDE (quantity, price)",
            ),
            made_as={"quantity": "int"},  # a menu run takes 1.4 times as long with numeric quantities
        ),
        SourceTable(
            "dim_menu_items",
            {
                "item_id": "bigint",
                "menu_item_name": "text",
                "price": "numeric",
                "category": "text",
                "cost": "numeric",
            },
            "item_id",
            optional=frozenset({"price", "cost"}),
        ),
        SourceTable(
            "dim_menu_daytimes",
            {"daytime_id": "int", "daytime_label": "text", "start_time": "time", "end_time": "time"},
            "daytime_id",
        ),
    )
}
