"""Converting a file's columns to text that PostgreSQL reads unambiguously.

A regular expression over the whole column finds the values that need no rewriting; the others are rewritten one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from source.loading import amounts, times
from source.loading.options import Options
from source.loading.report import Remarks
from source.loading.texts import BadValueError, as_text, is_text, places_of

Kind = Literal["key", "line", "whole", "customer", "amount", "quantity", "time", "clock", "text"]
WHOLE = r"^-?[1-9]\d{0,17}$|^0$"
WORDS = r"(?i)^(?:nan|none|null|nil|n/?a|#n/?a|undefined|unknown|error|)$"
SHORTENED = r"^\d(?:[.,]\d+)?[eE]\+?\d+$"
FLOAT_ID = r"^[1-9]\d*\.0+$"
BLANK = "values that are only spaces, used unchanged"
SPACED = "values with spaces before or after them, used unchanged"
WORD = "words such as NULL, None or nan, used unchanged, since only an empty field is a guest"
MIXED = "ids that are not whole numbers, among others that are; new numbers were assigned to them"
SHORT = "numbers that a spreadsheet has shortened, such as 4.477E+11: their last digits are lost"


@dataclass
class Reader:
    """Converts one file's columns, and collects remarks about their values."""

    options: Options
    zone: ZoneInfo
    remarks: Remarks = field(default_factory=Remarks)
    texts: set[str] = field(default_factory=set)  # key columns with ids that are not whole numbers
    whole: set[str] = field(default_factory=set)  # key columns with whole numbers

    def read(self, name: str, kind: Kind, parts: Sequence[pa.Array], record: int) -> list[pa.Array]:
        """One converted column, or for a key two: its whole numbers and its text ids.

        `parts` are the file's columns for it: the first that is not empty for a customer, else joined by spaces.
        `record` is the number of the first record.

        Raises
        ------
        BadValueError
            With the first value that can't be loaded.
        """
        texts = [self._texts(kind, part) for part in parts]
        text = texts[0]
        if len(texts) > 1 and kind == "customer":
            text = pc.coalesce(*texts)
        elif len(texts) > 1:
            joined = pc.binary_join_element_wise(*texts, " ", null_handling="skip")
            text = pc.if_else(pc.equal(joined, ""), None, joined)
        remark = _Remark(self.remarks, name, record)
        if kind == "key":
            return self._key(name, text, remark)
        if kind == "customer":
            return [self._customer(text, remark)]
        if kind == "time":
            return [self._times(text, remark)]
        if kind == "text":
            return [text]
        # Parquet's numbers are written with a point here, whatever the file's texts have.
        decimal = self.options.decimal if all(is_text(part.type) for part in parts) else "."
        rewrite = {
            "line": lambda value: _line_id(value),
            "whole": lambda value: _whole(value, 2**31),
            "amount": lambda value: amounts.plain(value, decimal),
            "quantity": lambda value: _finite(amounts.plain(value, decimal), value),
            "clock": times.clock,
        }[kind]
        number = amounts.PLAIN_WHOLE if decimal == "," else amounts.PLAIN
        plain = {"line": WHOLE, "amount": number, "quantity": number}.get(kind)
        odd = _places(text, plain)
        rewritten = _rewritten(text, odd, rewrite)
        if kind == "amount" and odd:
            words = [place for place in odd if (rewritten[place].as_py() or "")[-1:] in ("n", "N", "y", "Y", "f", "F")]
            remark("values that are not finite amounts; runs skip and count them", words)
        return [rewritten]

    def _texts(self, kind: Kind, column: pa.Array) -> pa.Array:
        """The column as text, with NULL for empty values."""
        text = as_text(column, ids=kind in ("key", "line", "customer"))
        for word in ("", *self.options.empty):
            empty = pc.equal(text if word == "" else pc.utf8_trim_whitespace(text), word)
            if pc.any(empty).as_py():
                text = pc.if_else(empty, None, text)
        return text

    def _key(self, name: str, text: pa.Array, remark: _Remark) -> list[pa.Array]:
        odd = _places(text, WHOLE)
        none = pa.nulls(len(text), pa.string())
        if len(odd) < len(text) - text.null_count:
            self.whole.add(name)
        if not odd:
            return [text, none]
        numbers, others = text.to_pylist(), none.to_pylist()
        for place in odd:
            numbers[place], others[place] = _key_of(text[place].as_py(), place)
        remark(SHORT, [place for place in odd if re.match(SHORTENED, others[place] or "")])
        named = [place for place in odd if others[place] is not None]
        if named:
            self.texts.add(name)
            remark(MIXED, named)
        return [pa.array(numbers, pa.string()), pa.array(others, pa.string())]

    def _customer(self, text: pa.Array, remark: _Remark) -> pa.Array:
        # Ids of digits only, maybe after a +, need no remark.
        odd = _places(text, r"^\+?\d+$")
        if not odd:
            return text
        chosen = text.take(pa.array(odd))
        trimmed = pc.utf8_trim_whitespace(chosen)
        blank = pc.equal(trimmed, "")
        remark(BLANK, _chosen(odd, blank))
        remark(SPACED, _chosen(odd, pc.and_not(pc.not_equal(trimmed, chosen), blank)))
        remark(WORD, _chosen(odd, pc.and_not(pc.match_substring_regex(trimmed, WORDS), blank)))
        remark(SHORT, _chosen(odd, pc.match_substring_regex(trimmed, SHORTENED)))
        floats = _chosen(odd, pc.match_substring_regex(chosen, FLOAT_ID))
        remark("whole numbers with a decimal point, such as 447700900001.0, read without it", floats)
        return _rewritten(text, floats, lambda value: value.split(".")[0])

    def _times(self, text: pa.Array, remark: _Remark) -> pa.Array:
        odd = set(_places(text, times.PLAIN))
        days = pc.utf8_slice_codeunits(text, 0, 10)
        years = {int(year) for year in pc.unique(pc.utf8_slice_codeunits(days, 0, 4)).to_pylist() if _is_year(year)}
        change = sorted(day for year in years for day in times.days_of_change(self.zone, year))
        if change:
            on_change = pc.is_in(days, value_set=pa.array(change, pa.string()))
            local = pc.invert(pc.match_substring_regex(text, times.WITH_OFFSET))
            odd |= set(places_of(pc.and_(on_change, local)))
        found: dict[str, list[int]] = {}

        def rewrite(value: str, place: int) -> str:
            return times.instant(
                value, self.options.date_order, self.zone, lambda what: found.setdefault(what, []).append(place)
            )

        rewritten = _rewritten_at(text, sorted(odd), rewrite)
        for what, places in found.items():
            remark(what, places)
        return rewritten


class _Remark:
    def __init__(self, remarks: Remarks, column: str, record: int) -> None:
        self._remarks, self._column, self._record = remarks, column, record

    def __call__(self, what: str, places: Sequence[int]) -> None:
        self._remarks.add(self._column, what, [self._record + place for place in places])


def _is_year(text: str | None) -> bool:
    return text is not None and text.isascii() and text.isdigit() and times.FIRST_YEAR <= int(text) < 2200


def _chosen(places: Sequence[int], mask: pa.Array) -> list[int]:
    return [places[index] for index in places_of(mask)]


def _places(text: pa.Array, plain: str | None) -> list[int]:
    """The indices of values that do not match `plain`, NULLs excluded."""
    mask = pc.is_valid(text) if plain is None else pc.invert(pc.match_substring_regex(text, plain))
    return places_of(mask)


def _rewritten(text: pa.Array, places: Sequence[int], rewrite: Callable[[str], str | None]) -> pa.Array:
    known: dict[str, str | None] = {}  # amounts repeat

    def once(value: str, _: int) -> str | None:
        if value not in known:
            known[value] = rewrite(value)
        return known[value]

    return _rewritten_at(text, places, once)


def _rewritten_at(text: pa.Array, places: Sequence[int], rewrite: Callable[[str, int], str | None]) -> pa.Array:
    if not places:
        return text
    values: list[str | None] = []
    for place, value in zip(places, text.take(pa.array(places)).to_pylist(), strict=True):
        try:
            values.append(rewrite(value, place) if value is not None else None)
        except ValueError as error:
            raise BadValueError(place, str(error)) from None
    mask = pc.is_in(pa.array(range(len(text)), pa.int64()), value_set=pa.array(places, pa.int64()))
    return pc.replace_with_mask(text, mask, pa.array(values, pa.string()))


def _whole(value: str, limit: int) -> str:
    """A whole number without plus sign and leading zeros; `6.0` becomes 6."""
    found = re.fullmatch(r"\s*\+?(-?)0*(\d+?)(?:\.0*)?\s*", value)
    kind = "bigint" if limit > 2**31 else "int"
    if found is None or not -limit <= int(found[1] + found[2]) < limit:
        raise ValueError(f'"{value[:40]}" is not a whole number of type {kind}')
    return str(int(found[1] + found[2]))


def _line_id(value: str) -> str:
    return _whole(value, 2**63)


def _key_of(value: str, place: int) -> tuple[str | None, str | None]:
    """A key as a whole number, or else as text."""
    stripped = value.strip()
    if not stripped:
        return None, None
    if re.fullmatch(WORDS, stripped):
        raise BadValueError(place, f'"{stripped}" is not an id')
    try:
        return _whole(stripped, 2**63), None
    except ValueError:
        return None, stripped


def _finite(number: str, written: str) -> str:
    if number[-1:].isalpha():
        raise ValueError(f'"{written}" is not a quantity')
    return number
