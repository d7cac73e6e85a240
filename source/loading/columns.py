"""Our columns, their kinds of values, and the columns of a file that they are read from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from errors import LoadError
from source.loading.files import SourceFile
from source.loading.values import Kind


@dataclass(frozen=True)
class Column:
    """One of our columns, and whether a file has to have it."""

    name: str
    kind: Kind
    required: bool = True


@dataclass(frozen=True)
class Field:
    """One of our columns, and its place in a file; several places for a column that is split."""

    column: Column
    places: tuple[int, ...]


TABLES: Mapping[str, tuple[Column, ...]] = {
    "fact_transactions": (
        Column("transaction_id", "key"),
        Column("mobile_id", "customer"),
        Column("total_amount", "amount"),
        Column("created_at", "time"),
    ),
    "fact_transaction_items": (
        Column("id", "line", required=False),
        Column("transaction_id", "key"),
        Column("item_id", "key"),
        Column("quantity", "quantity", required=False),
        Column("price", "amount"),
    ),
    "dim_menu_items": (
        Column("item_id", "key"),
        Column("menu_item_name", "text"),
        Column("price", "amount", required=False),
        Column("category", "text", required=False),
        Column("cost", "amount", required=False),
    ),
    "dim_menu_daytimes": (
        Column("daytime_id", "whole"),
        Column("daytime_label", "text"),
        Column("start_time", "clock"),
        Column("end_time", "clock"),
    ),
}

SALES: tuple[Column, ...] = (
    Column("transaction_id", "key", required=False),
    Column("created_at", "time"),
    Column("mobile_id", "customer", required=False),
    Column("status", "text", required=False),
    Column("cancelled_at", "text", required=False),
    Column("total_amount", "amount", required=False),
    Column("tip", "amount", required=False),
    Column("refund", "amount", required=False),
    Column("item_id", "key", required=False),
    Column("menu_item_name", "text", required=False),
    Column("category", "text", required=False),
    Column("quantity", "quantity", required=False),
    Column("price", "amount", required=False),
    Column("line_total", "amount", required=False),
    Column("discount", "amount", required=False),
    Column("tax", "amount", required=False),
)


def normal(name: str) -> str:
    """A header's name in lower case, with one underscore between its words."""
    return re.sub(r"[\W_]+", "_", name.strip().casefold()).strip("_")


def choose(
    columns: Sequence[Column],
    file: SourceFile,
    mapped: Mapping[str, Sequence[str]],
    target: str,
    *,
    only_mapped: bool = False,
    lenient: bool = False,
) -> list[Field]:
    """Find our columns in the file: by the map's names, or else by our names in any case.

    `only_mapped` ignores columns that the map does not name: in another program's file, `tax` may mean anything.
    `lenient` ignores columns that the map names and the file does not have, unless they are required.

    Raises
    ------
    LoadError
        With all missing columns, or the first ambiguous one.
    """
    unknown = [name for name in mapped if name not in {column.name for column in columns}]
    fields, missing = [], []
    for column in columns:
        if only_mapped and column.name not in mapped and not column.required:
            continue
        names = mapped.get(column.name, [column.name])
        places = [_place(file, name) for name in names]
        found = tuple(place for place in places if place is not None)
        # Of several columns for the customer one is enough: the first that is not empty is used.
        if found and (len(found) == len(names) or column.kind == "customer"):
            fields.append(Field(column, found))
        elif column.required or (column.name in mapped and not lenient):
            missing += [name for name, place in zip(names, places, strict=True) if place is None]
    if missing:
        several = "columns" if len(missing) > 1 else "column"
        raise LoadError(
            f"{file.path} has no {several} {', '.join(missing)} for {target};"
            f" it has {', '.join(name for name in file.columns if name)}.{_hint(file)}"
        )
    if unknown and target == "orders and lines":
        raise LoadError(f"The map names {', '.join(unknown)}, which {target} do not have.")
    return fields


def _place(file: SourceFile, name: str) -> int | None:
    """The column's place: by its exact name, or else by its name in any case."""
    for same in (lambda each: each == name, lambda each: normal(each) == normal(name)):
        places = [place for place, each in enumerate(file.columns) if each and same(each)]
        if len(places) > 1:
            raise LoadError(f"{file.path} has two columns {name!r}.")
        if places:
            return places[0]
    return None


def _hint(file: SourceFile) -> str:
    other = getattr(file, "other_delimiter", lambda: None)()
    if other is None:
        return " --map can name them."
    return f" Its header is one column: try --delimiter {'tab' if other == chr(9) else repr(other)}."
