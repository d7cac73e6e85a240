"""Exports: rows as a CSV or Parquet file that only its owner may read, unchanged or safe for Excel."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

import click

from errors import RequestError
from store.spreadsheet import ENCODING, as_text

if TYPE_CHECKING:
    import pandas as pd

for_excel_option = click.option(
    "--for-excel", is_flag=True, help="Make spreadsheets read ids and names as text: no formula, no lost digit."
)


def check_target(path: Path | None, *, for_excel: bool) -> None:
    """Check the options of an export, if one is requested.

    Raises
    ------
    UsageError
        When `for_excel` is given without a file.
    RequestError
        When the file's name ends neither in .csv nor in .parquet, or in .parquet with `for_excel`.
    """
    if path is None:
        if for_excel:
            raise click.UsageError("--for-excel needs --export FILE.csv.")
        return
    if path.suffix not in (".csv", ".parquet"):
        raise RequestError(f"{path} ends neither in .csv nor in .parquet.")
    if for_excel and path.suffix != ".csv":
        raise RequestError(f"--for-excel writes .csv files, and {path} is not one.")


def write(frame: pd.DataFrame, path: Path, *, for_excel: bool) -> None:
    """Write all rows to a file that only its owner may read.

    Raises
    ------
    RequestError
        When it can't be written.
    """
    stream([frame], path, for_excel=for_excel)


def stream(frames: Iterable[pd.DataFrame], path: Path, *, for_excel: bool) -> int:
    """Write frames with the same columns, one after the other, and return how many rows that were.

    Raises
    ------
    RequestError
        When the file can't be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(descriptor, 0o600)  # for a file that existed before
        if path.suffix == ".parquet":
            with os.fdopen(descriptor, "wb") as file:
                return _write_parquet(frames, file)
        with os.fdopen(descriptor, "w", encoding=ENCODING if for_excel else "utf-8", newline="") as text:
            return _write_csv(frames, text, for_excel)
    except OSError as error:
        raise RequestError(f"{path} can't be written: {error.strerror or error}.") from None


def _write_parquet(frames: Iterable[pd.DataFrame], file: BinaryIO) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer, rows = None, 0
    try:
        for frame in frames:
            table = pa.Table.from_pandas(frame, schema=writer.schema if writer else None, preserve_index=False)
            writer = writer or pq.ParquetWriter(file, table.schema)
            writer.write_table(table)
            rows += len(frame)
    finally:
        if writer:
            writer.close()
    return rows


def _write_csv(frames: Iterable[pd.DataFrame], text: TextIO, for_excel: bool) -> int:
    rows = 0
    for place, frame in enumerate(frames):
        if for_excel:
            # Quotes keep line breaks inside a cell.
            _as_texts(frame).to_csv(text, index=False, header=place == 0, quoting=csv.QUOTE_ALL)
        else:
            frame.to_csv(text, index=False, header=place == 0)
        rows += len(frame)
    return rows


def _as_texts(frame: pd.DataFrame) -> pd.DataFrame:
    texts = frame.select_dtypes(["object", "str"])
    return frame.assign(**{str(name): texts[name].map(as_text) for name in texts})
