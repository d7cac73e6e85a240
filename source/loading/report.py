"""The result of a load: rows written, and warnings about values, each with its count and first place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Loaded:
    """Counts by table, and warnings for the user."""

    rows: dict[str, int] = field(default_factory=dict)  # new rows
    updated: dict[str, int] = field(default_factory=dict)  # existing rows that were changed
    skipped: dict[str, int] = field(default_factory=dict)  # rows of the file that were not written
    removed: dict[str, int] = field(default_factory=dict)  # existing rows that were deleted
    numbered: dict[str, int] = field(default_factory=dict)  # text ids that got numbers, by the table of numbers
    left_out: int = 0  # rows of a flat export whose status a map leaves out
    warnings: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)  # tables that were created


class Remarks:
    """Remarks of one file, by column and kind, with their number and first record."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[int]] = {}

    def add(self, column: str, what: str, records: Sequence[int]) -> None:
        """Add records with a remark, in increasing order over all calls."""
        if records:
            found = self._found.setdefault((column, what), [0, records[0]])
            found[0] += len(records)

    def drop(self, column: str, what: str) -> None:
        """Remove a remark that does not apply after the whole file was read."""
        self._found.pop((column, what), None)

    def first_records(self) -> set[int]:
        """The records whose lines `messages` needs."""
        return {first for _, first in self._found.values()}

    def messages(self, path: object, unit: str, lines: dict[int, int]) -> list[str]:
        """One sentence per remark."""
        return [
            f"{path}, column {column}: {what} ({count:,}, the first in {unit} {lines.get(first, first)})"
            for (column, what), (count, first) in self._found.items()
        ]
