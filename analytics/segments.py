"""The map from R-F-M codes to segments: all 125 codes, each exactly once, from a TOML file."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from errors import SettingsError

CODES = ["".join(code) for code in product("12345", repeat=3)]
DEFAULT_MAP = Path(__file__).with_name("segments.toml")


def load_segments(path: Path | None) -> list[str]:
    """The 125 segment names in the order of CODES (111, 112, … 555), from `path` or the default map.

    The file has one table, `[segments]`: a segment's name = its codes, as a list or separated by spaces.

    Raises
    ------
    SettingsError
        When the file can't be read, or codes are missing, repeated or unknown, naming them.
    """
    try:
        document = tomllib.loads((path or DEFAULT_MAP).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"SEGMENT_MAP: {path} can't be read as TOML: {error}.") from None
    table = document.get("segments")
    if not isinstance(table, dict) or not all(isinstance(codes, str | list) for codes in table.values()):
        raise SettingsError(f"SEGMENT_MAP: {path} has no [segments] table of names with their codes.")
    pairs = [
        (str(code), name)
        for name, codes in table.items()
        for code in (codes.split() if isinstance(codes, str) else codes)
    ]
    _check([code for code, _ in pairs], path)
    named = dict(pairs)
    return [named[code] for code in CODES]


def numbered(segments: Sequence[str]) -> tuple[list[str], list[int]]:
    """A map's names in the order of their first codes, and each code's number among them, from 1."""
    names = list(dict.fromkeys(segments))
    return names, [names.index(segment) + 1 for segment in segments]


def _check(codes: list[str], path: Path | None) -> None:
    times = Counter(codes)
    faults = {
        "misses": [code for code in CODES if not times[code]],
        "repeats": [code for code, number in times.items() if number > 1],
        "has unknown codes": [code for code in times if code not in CODES],
    }
    said = [f"{what} {' '.join(sorted(found))}" for what, found in faults.items() if found]
    if said:
        raise SettingsError(f"SEGMENT_MAP: {path} {', and it '.join(said)}.")
