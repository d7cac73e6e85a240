"""Exports: rows as a CSV or Parquet file that only its owner may read, unchanged or safe for Excel."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from errors import RequestError

if TYPE_CHECKING:
    import pandas as pd

for_excel_option = click.option(
    "--for-excel", is_flag=True, help="Make spreadsheets read ids and names as text: no formula, no lost digit."
)

# What a spreadsheet shows unchanged: words, small whole numbers without leading zeros, our run ids.
_SAFE = re.compile(
    r"(?=[^\W\d_])(?!(?:true|false)$|[a-z]{3,9}[ ./-]?\d{1,4}$).*"
    r"|0|[1-9]\d{0,10}|[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}|",
    re.IGNORECASE | re.DOTALL,
)


def check_target(path: Path, *, for_excel: bool) -> None:
    """Check the file name of an export.

    Raises
    ------
    RequestError
        When it ends neither in .csv nor in .parquet, or in .parquet with `for_excel`.
    """
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
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(descriptor, 0o600)  # for a file that existed before
        if path.suffix == ".parquet":
            with os.fdopen(descriptor, "wb") as file:
                frame.to_parquet(file, index=False)
            return
        # The byte order mark makes Excel read UTF-8; quotes keep line breaks inside a cell.
        with os.fdopen(descriptor, "w", encoding="utf-8-sig" if for_excel else "utf-8", newline="") as text:
            if for_excel:
                _as_texts(frame).to_csv(text, index=False, quoting=csv.QUOTE_ALL)
            else:
                frame.to_csv(text, index=False)
    except OSError as error:
        raise RequestError(f"{path} can't be written: {error.strerror or error}.") from None


def _as_texts(frame: pd.DataFrame) -> pd.DataFrame:
    texts = frame.select_dtypes(["object", "str"])
    return frame.assign(**{str(name): texts[name].map(_as_text) for name in texts})


def _as_text(value: Any) -> Any:
    """The text, with a leading apostrophe if a spreadsheet would read it as a formula, number or date."""
    return f"'{value}" if isinstance(value, str) and not _SAFE.fullmatch(value) else value
