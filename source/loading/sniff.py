"""Detecting a file's encoding and separator, and reading its first rows."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pyarrow as pa

from errors import LoadError
from source.loading.delimited import SEPARATORS
from source.loading.files import SourceFile
from source.loading.options import Options
from source.loading.streams import Utf8Stream, find_encoding, open_text
from source.loading.texts import BadValueError, as_text

ROWS = 50_000


def encoding_of(path: Path) -> str | None:
    """cp1252 for a file that is not UTF-8 and has no byte order mark; else None."""
    if path.suffix.lower() == ".parquet":
        return None
    encoding = find_encoding(path, None)
    if encoding != "utf-8":
        return None
    stream = Utf8Stream(path, encoding)
    try:
        while stream.read():
            pass
    except LoadError:
        return "cp1252"
    finally:
        stream.close()
    return None


def delimiter_of(path: Path, options: Options) -> str | None:
    """The separator of a text file, if it is not a comma or named in the file; None for Parquet."""
    if path.suffix.lower() == ".parquet":
        return None
    with open_text(path, find_encoding(path, options.encoding)) as text:
        first = next((line for line in itertools.islice(text, 100) if line.strip()), "")
    if first.lower().startswith("sep="):
        return None
    bare = re.sub(r'"[^"]*"', "", first)
    best = max(SEPARATORS, key=bare.count)
    return best if best != "," and bare.count(best) else None


def rows_of(file: SourceFile) -> list[list[str]]:
    """The first rows, as text."""
    rows: list[list[str]] = []
    places = range(len(file.columns))
    for arrays in file.batches(places, lambda *_: None):
        texts = [_texts(array) for array in arrays]
        rows += [[value or "" for value in row] for row in zip(*texts, strict=True)]
        if len(rows) >= ROWS:
            break
    return rows[:ROWS]


def _texts(column: pa.Array) -> list[str | None]:
    """A column as text, or empty if its type can't be loaded: lists and the like."""
    try:
        texts: list[str | None] = as_text(column).to_pylist()
    except BadValueError:
        texts = [None] * len(column)
    return texts
