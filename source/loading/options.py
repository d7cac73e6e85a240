"""Options for loading files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

DateOrder = Literal["dmy", "mdy", "ymd"]
Decimal = Literal[".", ","]
OnConflict = Literal["refuse", "skip", "update"]
DATE_ORDERS: tuple[str, ...] = get_args(DateOrder)
DECIMALS: tuple[str, ...] = get_args(Decimal)
ON_CONFLICT: tuple[str, ...] = get_args(OnConflict)


@dataclass(frozen=True)
class Options:
    """The files' format, and what to do with rows that exist already; None = not given."""

    delimiter: str | None = None
    decimal: Decimal | None = None
    encoding: str | None = None
    date_order: DateOrder | None = None
    on_conflict: OnConflict = "refuse"
    empty: frozenset[str] = frozenset()  # words that mean the same as an empty field

    def or_else(self, other: Options) -> Self:
        """These options, with the other's values where none is given."""
        return replace(
            self,
            delimiter=self.delimiter or other.delimiter,
            decimal=self.decimal or other.decimal,
            encoding=self.encoding or other.encoding,
            date_order=self.date_order or other.date_order,
            empty=self.empty or other.empty,
        )
