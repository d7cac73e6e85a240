"""CSV and Parquet files as one stream of CSV records that PostgreSQL's COPY can take.

Problems that a file has before its first record are told here; those in its records by COPY, which knows the
line and the column.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from errors import LoadError

BLOCK = 1 << 20
BATCH = 65_536
Progress = Callable[[int, int], None]


class CsvFile:
    """A CSV file with a header, in UTF-8."""

    unit = "line"
    has_header = True

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                header = next(csv.reader(file), [])
        except csv.Error:
            header = ["\ufffd"]
        if any("\ufffd" in name for name in header):
            raise LoadError(f"{path}, line 1: the header is not UTF-8 text.")
        self.columns = [name.strip() for name in header]

    def blocks(self, progress: Progress) -> Iterator[bytes]:
        """The file's bytes, header included."""
        total, done = self.path.stat().st_size, 0
        with self.path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
                done += len(block)
                progress(done, total)

    def line_of(self, record: int) -> int:
        """The line on which a record (1 = the first after the header) begins; quoted line breaks count."""
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.reader(file)
            before = 0
            for number, _ in enumerate(reader):
                if number == record:
                    break
                before = reader.line_num
            return before + 1

    def values(self, column: str) -> Iterator[str]:
        """One column's values, in order."""
        place = self.columns.index(column)
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            for row in itertools.islice(csv.reader(file), 1, None):
                yield row[place] if place < len(row) else ""


class ParquetFile:
    """A Parquet file; its records are written as CSV, batch by batch."""

    unit = "row"
    has_header = False

    def __init__(self, path: Path, whole: set[str], times: set[str]) -> None:
        self.path = path
        try:
            self.file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as fault:
            raise LoadError(f"{path} can't be read as Parquet: {str(fault).splitlines()[0]}.") from None
        self.columns = list(self.file.schema_arrow.names)
        self._holes = whole | times

    def blocks(self, progress: Progress) -> Iterator[bytes]:
        """The rows as CSV, without a header."""
        total, done = self.file.metadata.num_rows, 0
        for batch in self.file.iter_batches(BATCH):
            text = io.BytesIO()
            try:
                table = pa.table([self._plain(batch, name) for name in self.columns], names=self.columns)
                pa_csv.write_csv(table, text, pa_csv.WriteOptions(include_header=False))
            except pa.ArrowException as fault:
                raise LoadError(f"{self.path} can't be loaded: {str(fault).splitlines()[0]}.") from None
            yield text.getvalue()
            done += batch.num_rows
            progress(done, total)

    def line_of(self, record: int) -> int:
        """The row itself."""
        return record

    def values(self, column: str) -> Iterator[str]:
        """One column's values as text, in order."""
        for batch in self.file.iter_batches(BATCH, columns=[column]):
            yield from (str(value) for value in batch.column(0).to_pylist())

    def _plain(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        column = batch.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        # A hole in a column of integers makes pandas write floats, and NaN for the hole.
        if name in self._holes and pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), None, column)
        return column


SourceFile = CsvFile | ParquetFile


def open_file(path: Path, *, whole: set[str], times: set[str]) -> SourceFile:
    """The file, opened by its suffix; `whole` and `times` name the columns of integers and of times.

    Raises
    ------
    LoadError
        When it is neither CSV nor Parquet, can't be read, or has no header.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise LoadError(f"{path} ends neither in .csv nor in .parquet.")
    try:
        found: SourceFile = CsvFile(path) if path.suffix.lower() == ".csv" else ParquetFile(path, whole, times)
    except OSError as fault:
        raise LoadError(f"{path} can't be read: {fault.strerror or fault}.") from None
    if not any(found.columns):
        raise LoadError(f"{path} is empty; its first line should name its columns.")
    repeated = [name for name in found.columns if found.columns.count(name) > 1]
    if repeated:
        raise LoadError(f"{path} has two columns {repeated[0]!r}.")
    return found
