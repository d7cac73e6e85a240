"""Opening files for `smartcrm load`, by their suffixes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from errors import LoadError
from source.loading.delimited import DelimitedFile
from source.loading.options import Options
from source.loading.parquet import ParquetFile
from source.loading.streams import Progress

DELIMITED = (".csv", ".tsv", ".tab", ".txt")


class SourceFile(Protocol):
    """A file with named columns, read in order."""

    path: Path
    unit: str  # what a record's number counts: lines or rows
    columns: list[str]  # as written in its header

    def batches(self, places: Sequence[int], progress: Progress) -> Iterator[list[pa.Array]]:
        """The columns at these places, some records at a time; only blank lines are skipped."""
        ...

    def lines_of(self, records: Iterable[int]) -> dict[int, int]:
        """The lines on which these records (1 = the first) begin."""
        ...


def open_file(path: Path, options: Options) -> SourceFile:
    """Open a file and read its header.

    Raises
    ------
    LoadError
        When its suffix is unknown, it can't be read, or it has no header.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    file: SourceFile
    if kind in DELIMITED:
        file = DelimitedFile(path, options, tabs=kind in (".tsv", ".tab"))
    elif suffixes[-1:] == [".parquet"]:
        file = ParquetFile(path)
    else:
        raise LoadError(f"{path} ends neither in .csv, .tsv, .txt (or these with .gz) nor in .parquet.")
    if not any(file.columns):
        raise LoadError(f"{path} is empty; its first line should name its columns.")
    return file
