"""What a load tells: rows written, and remarks on values with how many there are and where the first stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Loaded:
    """What was written, by table, and what the user should know."""

    rows: dict[str, int] = field(default_factory=dict)  # new rows
    updated: dict[str, int] = field(default_factory=dict)  # rows that were there and are written anew
    skipped: dict[str, int] = field(default_factory=dict)  # rows of the file that were left out
    removed: dict[str, int] = field(default_factory=dict)  # rows that were there and are gone
    numbered: dict[str, int] = field(default_factory=dict)  # text ids that got numbers, by the table of numbers
    left_out: int = 0  # rows of a flat export whose status a map leaves out
    warnings: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)  # tables that were not there before


class Remarks:
    """Remarks of one file, by column and kind, with their number and first record."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[int]] = {}

    def add(self, column: str, what: str, records: Sequence[int]) -> None:
        """Some records of this kind, in rising order; later calls bring later records."""
        if records:
            found = self._found.setdefault((column, what), [0, records[0]])
            found[0] += len(records)

    def drop(self, column: str, what: str) -> None:
        """Forget a remark that the rest of the file made pointless."""
        self._found.pop((column, what), None)

    def first_records(self) -> set[int]:
        """The records whose lines `told` needs."""
        return {first for _, first in self._found.values()}

    def told(self, path: object, unit: str, lines: dict[int, int]) -> list[str]:
        """One sentence a remark."""
        return [
            f"{path}, column {column}: {what} ({count:,}, the first in {unit} {lines.get(first, first)})"
            for (column, what), (count, first) in self._found.items()
        ]
