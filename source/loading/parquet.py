"""Parquet files as columns of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from errors import LoadError
from source.loading.streams import Progress, reading

BATCH = 65_536


class ParquetFile:
    """A Parquet file; its columns keep their types."""

    unit = "row"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with reading(path):
                self._file = pq.ParquetFile(path)
        except pa.ArrowException as error:
            raise LoadError(f"{path} can't be read as Parquet: {str(error).splitlines()[0].rstrip('.')}.") from None
        self.columns: list[str] = list(self._file.schema_arrow.names)

    def batches(self, places: Sequence[int], progress: Progress) -> Iterator[list[pa.Array]]:
        """The columns at these places, some rows at a time; other columns are not read."""
        total, done = self._file.metadata.num_rows, 0
        names = [self.columns[place] for place in places]
        try:
            for batch in self._file.iter_batches(BATCH, columns=list(dict.fromkeys(names))):
                yield [_plain(batch.column(name)) for name in names]
                done += batch.num_rows
                progress(done, total)
        except (pa.ArrowException, OSError) as error:
            raise LoadError(f"{self.path} can't be read: {str(error).splitlines()[0].rstrip('.')}.") from None

    def lines_of(self, records: Iterable[int]) -> dict[int, int]:
        """The record numbers themselves: a Parquet file has rows, not lines."""
        return {record: record for record in records}


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
