"""Maps: TOML files that say which columns of an export are which of ours, and how the export is written.

[columns]                     # our name = theirs
transaction_id = "Receipt"
created_at = ["Date", "Time"] # several are joined; of several for mobile_id the first that is not empty counts
[status]
leave_out = ["cancelled"]     # rows whose status is one of these words
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
    """What a map file says."""

    path: Path
    columns: Mapping[str, Sequence[str]]
    options: Options = field(default_factory=Options)
    leave_out: frozenset[str] = field(default_factory=frozenset)  # in lower case

    @property
    def shipped(self) -> bool:
        """True for a map of ours: programs leave out columns that a shop does not use."""
        return self.path.parent == SHIPPED


def read_map(name: str) -> Map:
    """The map in a file, or the one that ships under this name (shopify, square, till).

    Raises
    ------
    LoadError
        When there is none, or it says something that no map can say.
    """
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
    path = shipped.get(name, Path(name))
    try:
        told = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        reason = error.strerror or str(error)
        names = ", ".join(shipped)
        raise LoadError(f"{name} can't be read: {reason}; the maps that ship are {names}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LoadError(f"{name} is no TOML: {str(error).rstrip('.')}.") from None
    try:
        return _checked(path, told)
    except ValueError as error:
        raise LoadError(f"{name}: {error}.") from None


def _checked(path: Path, told: dict[str, Any]) -> Map:
    _known(told, {"columns", "status", "file"}, "the map")
    columns, status, file = (_table(told, name) for name in ("columns", "status", "file"))
    _known(columns, COLUMNS, "[columns]")
    _known(status, {"leave_out"}, "[status]")
    _known(file, {"delimiter", "decimal", "encoding", "date_order", "empty"}, "[file]")
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


def _known(told: Mapping[str, Any], names: set[str], where: str) -> None:
    unknown = sorted(set(told) - names)
    if unknown:
        raise ValueError(f"{where} has {', '.join(unknown)}; it may have {', '.join(sorted(names))}")


def _table(told: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = told.get(name, {})
    if not isinstance(found, dict):
        raise ValueError(f"{name} is no table")
    return found


def _text(name: str, value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and value):
        raise ValueError(f"{name} is {value!r}, which is no text")
    return value


def _texts(name: str, value: Any, *, some: bool = True) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) and each for each in values) or (some and not values):
        raise ValueError(f"{name} is {value!r}; it is a column's name or a list of them")
    return tuple(values)
