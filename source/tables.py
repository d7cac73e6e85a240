"""The CRM's four tables as `smartcrm load` makes them, and the indexes that we recommend on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SourceTable:
    """One source table: its columns in the contract's order, its key, and the DDL of its recommended indexes."""

    name: str
    columns: dict[str, str]
    key: str
    indexes: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()  # columns that a table of the CRM's own may lack
    made_as: Mapping[str, str] = field(default_factory=dict)  # narrower types, for as long as the values allow

    @property
    def ddl(self) -> str:
        """CREATE TABLE. Only the key may not be NULL: what is missing is skipped and counted by the runs."""
        columns = ", ".join(f"{column} {kind}" for column, kind in {**self.columns, **self.made_as}.items())
        return f"CREATE TABLE {self.name} ({columns}, PRIMARY KEY ({self.key}))"


# Amounts have no scale, so that half cents arrive as they are.
SOURCE_TABLES = {
    table.name: table
    for table in (
        SourceTable(
            "fact_transactions",
            {"transaction_id": "bigint", "mobile_id": "text", "total_amount": "numeric", "created_at": "timestamptz"},
            "transaction_id",
            (
                # A customer shard, and one customer, are read from this alone.
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
                # In the order in which the menu is tallied.
                "CREATE INDEX ON fact_transaction_items (transaction_id, item_id) INCLUDE (quantity, price)",
            ),
            made_as={"quantity": "int"},  # a menu run over numeric quantities takes 1.4 of the time
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
