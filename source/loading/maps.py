"""Maps: TOML files that name the columns of an export, and its format.

[columns]                     # our column = the export's
transaction_id = "Receipt"
created_at = ["Date", "Time"] # several are joined; of several for mobile_id the first that is not empty is used
[status]
leave_out = ["cancelled"]     # statuses of rows to leave out
[file]
delimiter = ";"               # also: decimal, encoding, date_order, empty
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import LoadError
from source.loading.columns import SALES, TABLES
from source.loading.options import DATE_ORDERS, DECIMALS, Options

SHIPPED = Path(__file__).parent / "maps"
COLUMNS = {column.name for columns in (SALES, *TABLES.values()) for column in columns}


@dataclass(frozen=True)
class Map:
    """The content of a map file."""

    path: Path
    columns: Mapping[str, Sequence[str]]
    options: Options = field(default_factory=Options)
    leave_out: frozenset[str] = field(default_factory=frozenset)  # in lower case

    @property
    def shipped(self) -> bool:
        """True for a built-in map, whose columns may be missing: programs export only those that a shop uses."""
        return self.path.parent == SHIPPED


def read_map(name: str) -> Map:
    """The map in a file, or the built-in map of this name (shopify, square, till).

    Raises
    ------
    LoadError
        When there is none, or it is not valid.
    """
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
    path = shipped.get(name, Path(name))
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        reason = error.strerror or str(error)
        names = ", ".join(shipped)
        raise LoadError(f"{name} can't be read: {reason}; the built-in maps are {names}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LoadError(f"{name} is not valid TOML: {str(error).rstrip('.')}.") from None
    try:
        return _checked(path, content)
    except ValueError as error:
        raise LoadError(f"{name}: {error}.") from None


def _checked(path: Path, content: dict[str, Any]) -> Map:
    _check_names(content, {"columns", "status", "file"}, "the map")
    columns, status, file = (_table(content, name) for name in ("columns", "status", "file"))
    _check_names(columns, COLUMNS, "[columns]")
    _check_names(status, {"leave_out"}, "[status]")
    _check_names(file, {"delimiter", "decimal", "encoding", "date_order", "empty"}, "[file]")
    if not columns:
        raise ValueError("[columns] names no column")
    for name, words in (("decimal", DECIMALS), ("date_order", DATE_ORDERS)):
        if name in file and file[name] not in words:
            raise ValueError(f"{name} is {file[name]!r}; it is one of {' '.join(words)}")
    return Map(
        path,
        {name: _texts(name, value) for name, value in columns.items()},
        Options(
            delimiter=_text("delimiter", file.get("delimiter")),
            decimal=file.get("decimal"),
            encoding=_text("encoding", file.get("encoding")),
            date_order=file.get("date_order"),
            empty=frozenset(_texts("empty", file.get("empty", []), some=False)),
        ),
        frozenset(word.strip().lower() for word in _texts("leave_out", status.get("leave_out", []), some=False)),
    )


def _check_names(table: Mapping[str, Any], names: set[str], where: str) -> None:
    unknown = sorted(set(table) - names)
    if unknown:
        raise ValueError(f"{where} has {', '.join(unknown)}; it may have {', '.join(sorted(names))}")


def _table(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name, {})
    if not isinstance(found, dict):
        raise ValueError(f"{name} is not a table")
    return found


def _text(name: str, value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and value):
        raise ValueError(f"{name} is {value!r}, which is not text")
    return value


def _texts(name: str, value: Any, *, some: bool = True) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) and each for each in values) or (some and not values):
        raise ValueError(f"{name} is {value!r}; it is a column's name or a list of them")
    return tuple(values)
