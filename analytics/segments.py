"""The segment map: the segment of each R-F-M code, and optionally cut points, the measure of M, and exclusions.

It comes from a TOML file, or from the same tables as JSON:

    [segments]     a segment's name = its codes; all 125 codes once; default: the built-in segments
    [cut_points]   recency_days, frequency, monetary = four increasing numbers; default: quintiles
    [monetary]     measure = "total" or "average" (total ÷ frequency), scored by M
    [exclude]      mobile_ids = [...]: customers to exclude
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from analytics.scores import AVERAGE, CENTS, FREQUENCY, RECENCY, Point, stored
from errors import SettingsError

CODES = ["".join(code) for code in product("12345", repeat=3)]
FOLDER = Path(__file__).with_name("segment_maps")
TEMPLATES = ("quintiles", "visits", "ticket", "young")
LARGEST = 10**12  # the limit of numeric(14,2)
DECIMALS = 6
MOST_EXCLUDED = 10_000
KEYS = {"cut_points": (RECENCY, FREQUENCY, "monetary"), "monetary": ("measure",), "exclude": ("mobile_ids",)}


class MapError(ValueError):
    """An error in a map, with its table and, if it is about one key, the key."""

    def __init__(self, reason: str, table: str = "", key: str = "") -> None:
        super().__init__(" ".join(filter(None, (".".join(filter(None, (table, key))), reason))))
        self.table, self.key = table, key


@dataclass(frozen=True)
class SegmentMap:
    """A segment map.

    `segments` are those of `CODES`, in that order. `own` has four cut points, in fifths as `stored` writes them, for
    each measure that is not scored by quintiles; `measure` of M is `CENTS` or `AVERAGE`.
    """

    segments: list[str]
    own: dict[str, list[Point]]
    measure: str
    excluded: tuple[str, ...]


def template(name: str) -> Path | None:
    """The file of a built-in map, by its name; None if there is none."""
    return FOLDER / f"{name}.toml" if name in TEMPLATES else None


def load_map(path: Path | None, setting: str = "SEGMENT_MAP") -> SegmentMap:
    """The map in a file, or the built-in one.

    Raises
    ------
    SettingsError
        When the file can't be read or is not valid, with the setting, the line, the key and the reason.
    """
    file = path or template("quintiles")
    assert file is not None
    try:
        text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text, parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{setting}: {file} can't be read as TOML: {error}.") from None
    try:
        return read_map(document)
    except MapError as error:
        line = _line(text, error.table, error.key)
        raise SettingsError(f"{setting}: {file}{f', line {line}' if line else ''}: {error}.") from None


def read_map(document: Mapping[str, Any]) -> SegmentMap:
    """The map of these tables.

    Raises
    ------
    MapError
        When it is not valid.
    """
    known = ("segments", *KEYS)
    for name, content in document.items():
        if name not in known:
            raise MapError(f"is no table of a segment map; there are {', '.join(known)}", name)
        if not isinstance(content, Mapping):
            raise MapError("has to be a table", name)
        for key in content if name != "segments" else ():
            if key not in KEYS[name]:
                raise MapError(f"is not known; there is {' and '.join(KEYS[name])}", name, key)
    measure = document.get("monetary", {}).get("measure", "total")
    if measure not in ("total", "average"):
        raise MapError(f'has to be "total" or "average", not {measure!r}', "monetary", "measure")
    scored = AVERAGE if measure == "average" else CENTS
    given = document.get("cut_points", {})
    own = {scored if key == "monetary" else key: _cut_points(key, values) for key, values in given.items()}
    return SegmentMap(_segments(document.get("segments")), own, scored, _excluded(document.get("exclude", {})))


def _segments(table: Mapping[str, Any] | None) -> list[str]:
    if table is None:
        built_in = template("quintiles")
        assert built_in is not None
        table = tomllib.loads(built_in.read_text(encoding="utf-8"))["segments"]
    pairs = []
    for name, codes in table.items():
        if not isinstance(codes, str | list):
            raise MapError("has to be a list of codes, or codes separated by spaces", "segments", name)
        pairs += [(str(code), name) for code in (codes.split() if isinstance(codes, str) else codes)]
    named = dict(pairs)
    _refuse([pair for pair in pairs if pair[0] not in CODES], "has unknown codes")
    times = Counter(code for code, _ in pairs)
    _refuse([pair for pair in reversed(pairs) if times[pair[0]] > 1], "repeats")
    missing = [code for code in CODES if code not in named]
    if missing:
        raise MapError(f"misses {' '.join(missing)}", "segments")
    return [named[code] for code in CODES]


def _refuse(pairs: Sequence[tuple[str, str]], why: str) -> None:
    if pairs:
        codes = sorted({code for code, _ in pairs})
        raise MapError(f"{why} {' '.join(codes)}", "segments", pairs[0][1])


def _cut_points(key: str, values: Any) -> list[Point]:
    shown = f"[{', '.join(map(str, values))}]" if isinstance(values, list) else repr(values)
    if not isinstance(values, list) or len(values) != 4 or not all(map(_is_number, values)):
        raise MapError(f"has to be four rising numbers, not {shown}", "cut_points", key)
    exact = [Decimal(str(value)) for value in values]
    if not all(one < other for one, other in pairwise(exact)):
        raise MapError(f"has to be four rising numbers, and {shown} do not rise", "cut_points", key)
    if any(abs(value) >= LARGEST or value != round(value, DECIMALS) for value in exact):
        raise MapError(
            f"has to stay below {LARGEST:,} with at most {DECIMALS} decimals, not {shown}", "cut_points", key
        )
    unit = 100 if key == "monetary" else 1
    return [stored(5 * unit * Fraction(value)) for value in exact]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and Decimal(str(value)).is_finite()


def _excluded(table: Mapping[str, Any]) -> tuple[str, ...]:
    ids = table.get("mobile_ids", [])
    if not isinstance(ids, list) or not all(isinstance(each, str) and each and "\x00" not in each for each in ids):
        raise MapError('has to be a list of ids in quotes, such as ["+447700900123"]', "exclude", "mobile_ids")
    if len(ids) > MOST_EXCLUDED:
        raise MapError(f"has {len(ids):,} ids, and may have {MOST_EXCLUDED:,}", "exclude", "mobile_ids")
    return tuple(sorted(set(ids)))


def numbered(segments: Sequence[str]) -> tuple[list[str], list[int]]:
    """A map's names in the order of their first codes, and each code's number among them, from 1."""
    names = list(dict.fromkeys(segments))
    return names, [names.index(segment) + 1 for segment in segments]


def _line(text: str, table: str, key: str) -> int | None:
    """The line of a key or its table, which tomllib does not return; None if neither begins a line."""
    current, line_of_table = "", None
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"""\s*\[+\s*["']?([^\]"']+?)["']?\s*\]""", line)
        start = re.match(r"""\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*(?:=|\.)""", line)
        name = next(filter(None, start.groups()), "") if start else ""
        if header:
            current = header[1]
        if (header and current == table) or (not current and name == table):
            line_of_table = number
        elif key and current == table and name == key:
            return number
    return line_of_table
