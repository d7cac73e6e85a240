"""CSV files and the like, as columns of text.

Arrow reads them. The csv module is seven times slower, but knows line numbers: it reads the header, finds the line of a
record, and continues where Arrow stops at a line with more or fewer fields than the header.
"""

from __future__ import annotations

import csv
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from errors import LoadError
from source.loading.options import Options
from source.loading.streams import Progress, Utf8Stream, find_encoding, open_text, undecodable

BATCH = 65_536
BLOCK = 1 << 20
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "|"}
csv.field_size_limit(sys.maxsize)


class DelimitedFile:
    """A text file with separated fields and a header."""

    unit = "line"

    def __init__(self, path: Path, options: Options, *, tabs: bool = False) -> None:
        self.path = path
        self.encoding = find_encoding(path, options.encoding)
        self.delimiter = options.delimiter or ("\t" if tabs else ",")
        with open_text(path, self.encoding) as text:
            lines = itertools.islice(text, 100)
            first = next((line for line in lines if line.strip("\r\n")), "")
        if first.lower().startswith("sep=") and len(first.strip("\r\n")) == 5:
            self.delimiter = options.delimiter or first[4]  # Excel's sep= line names the delimiter
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n\0':
            raise LoadError(f"--delimiter is {self.delimiter!r}; it is one character of ASCII, or the word tab.")
        skip = first.lower().startswith("sep=")
        self._header_lines, header = 0, [""]
        with open_text(path, self.encoding) as text:
            reader = self._reader(text)
            for row in reader:
                if not any(field.strip() for field in row):
                    continue
                if skip:
                    skip = False
                    continue
                header, self._header_lines = row, reader.line_num
                break
        if any("\ufffd" in name or "\0" in name for name in header):
            raise undecodable(path, self.encoding)
        self.columns = [name.strip() for name in header]
        if any(re.match(r"""["'].*["']$""", name) for name in self.columns):
            raise LoadError(
                f"{path}, line {self._header_lines}: {self.columns[0]} … has single quotation marks, or spaces before"
                " its quotation marks; use double ones beside the separators."
            )

    def other_delimiter(self) -> str | None:
        """The separator that would split a header of one column."""
        if len(self.columns) > 1:
            return None
        counts = {each: self.columns[0].count(each) for each in SEPARATORS if each != self.delimiter}
        best = max(counts, key=lambda each: counts[each])
        return best if counts[best] else None

    def batches(self, places: Sequence[int], progress: Progress) -> Iterator[list[pa.Array]]:
        """The columns at these places, some records at a time; empty lines are skipped."""
        done = 0
        stream = Utf8Stream(
            self.path, self.encoding, delimiter=self.delimiter, after_lines=self._header_lines, progress=progress
        )
        try:
            for batch in self._arrow_batches(stream, places):
                yield [batch.column(f"{place}") for place in places]
                done += batch.num_rows
            sure = stream.quotes.ended()
        except pa.ArrowInvalid:
            yield from self._slow_batches(places, done)
            sure = False
        if not sure:
            self._check_quotes()

    def _arrow_batches(self, stream: Utf8Stream, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        # Memory is a few blocks. A record that is longer than a block makes Arrow raise, and the csv module continues.
        names = [f"{place}" for place in range(len(self.columns))]
        wanted = list(dict.fromkeys(names[place] for place in places))
        with stream, pa.PythonFile(stream, mode="r") as file:
            try:
                yield from pa_csv.open_csv(
                    file,
                    pa_csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names),
                    pa_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                    pa_csv.ConvertOptions(
                        column_types=dict.fromkeys(wanted, pa.string()),
                        include_columns=wanted,
                        null_values=[""],
                        strings_can_be_null=True,
                    ),
                )
            except pa.ArrowInvalid as error:
                if "Empty CSV file" not in str(error):
                    raise

    def _slow_batches(self, places: Sequence[int], done: int) -> Iterator[list[pa.Array]]:
        with open_text(self.path, self.encoding) as text:
            records = itertools.islice(self._records(text), done, None)
            while rows := list(itertools.islice(records, BATCH)):
                for line, row in rows:
                    self._check_fields(line, row)
                columns = [[row[place] or None if place < len(row) else None for _, row in rows] for place in places]
                yield [pa.array(column, pa.string()) for column in columns]

    def _check_fields(self, line: int, row: list[str]) -> None:
        """Refuse a row with missing or extra fields, unless they are blank or their column has no name."""
        known = len(self.columns)
        if any(field.strip() for field in row[known:]):
            raise LoadError(f"{self.path}, line {line}: extra data after the last column; nothing was loaded.")
        missing = [name for name in self.columns[len(row) :] if name]
        if missing:
            raise LoadError(f"{self.path}, line {line}: missing data for column {missing[0]}; nothing was loaded.")

    def lines_of(self, records: Iterable[int]) -> dict[int, int]:
        """The lines on which these records (1 = the first after the header) begin, counting quoted line breaks."""
        wanted = set(records)
        if not wanted:
            return {}
        with open_text(self.path, self.encoding) as text:
            numbered = itertools.islice(enumerate(self._records(text), 1), max(wanted))
            return {record: line for record, (line, _) in numbered if record in wanted}

    def _records(self, text: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """Each record after the header with the line on which it begins."""
        for _ in itertools.islice(iter(text), self._header_lines):
            pass
        reader = self._reader(text)
        before = 0
        for row in reader:
            if row:
                yield self._header_lines + before + 1, row
            before = reader.line_num

    def _reader(self, text: Iterable[str], *, strict: bool = False) -> Any:
        return csv.reader(text, delimiter=self.delimiter, strict=strict)

    def _check_quotes(self) -> None:
        """Refuse a quotation mark that is not closed, or that closes in the middle of a field: rows would be lost."""
        with open_text(self.path, self.encoding) as text:
            reader, line = self._reader(text, strict=True), 0
            try:
                for _ in reader:
                    line = reader.line_num
            except csv.Error as error:
                if "unexpected end" in str(error):
                    reason = "a quotation mark is not closed"
                else:
                    reason = "text follows a closing quotation mark; those within a field have to be doubled"
                raise LoadError(f"{self.path}, line {line + 1}: {reason}; nothing was loaded.") from None
