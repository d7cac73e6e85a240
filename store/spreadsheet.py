"""Text in files for spreadsheets: what they would take for a formula, number or date gets a leading apostrophe."""

from __future__ import annotations

import re
from typing import Any

# What a spreadsheet shows unchanged: words, small whole numbers without leading zeros, our run ids.
_SAFE = re.compile(
    r"(?=[^\W\d_])(?!(?:true|false)$|[a-z]{3,9}[ ./-]?\d{1,4}$).*"
    r"|0|[1-9]\d{0,10}|[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}|",
    re.IGNORECASE | re.DOTALL,
)
ENCODING = "utf-8-sig"  # the byte order mark makes Excel read UTF-8


def as_text(value: Any) -> Any:
    """The text, with a leading apostrophe if a spreadsheet would read it as a formula, number or date."""
    return f"'{value}" if isinstance(value, str) and not _SAFE.fullmatch(value) else value
