"""Parquet files as columns of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from errors import LoadError
from source.loading.streams import Progress, reading
from source.loading.texts import is_text

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
                columns = {name: _plain(batch.column(name)) for name in set(names)}
                for name, column in columns.items():
                    self._check_text(name, column, done)
                yield [columns[name] for name in names]
                done += batch.num_rows
                progress(done, total)
        except (pa.ArrowException, OSError) as error:
            raise LoadError(f"{self.path} can't be read: {str(error).splitlines()[0].rstrip('.')}.") from None

    def _check_text(self, name: str, column: pa.Array, done: int) -> None:
        """Refuse text that PostgreSQL can't store; writers of Parquet do not check it."""
        if not is_text(column.type):
            return
        values = pc.cast(column, pa.binary())
        try:
            values.cast(pa.string())
            if b"\0" not in bytes(values.buffers()[2] or b""):
                return
        except pa.ArrowInvalid:
            pass
        for place, value in enumerate(values.to_pylist()):
            if value is not None and not _is_storable(value):
                where = f"{self.path}, row {done + place + 1}, column {name}"
                raise LoadError(f"{where}: its bytes are not UTF-8 text; nothing was loaded.")

    def lines_of(self, records: Iterable[int]) -> dict[int, int]:
        """The record numbers themselves: a Parquet file has rows, not lines."""
        return {record: record for record in records}


def _is_storable(value: bytes) -> bool:
    try:
        return "\0" not in value.decode()
    except UnicodeDecodeError:
        return False


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
