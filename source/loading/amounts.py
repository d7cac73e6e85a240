"""Amounts and quantities in files, rewritten for PostgreSQL's numeric.

They are converted as text, never as floats, so that they stay exact.
"""

from __future__ import annotations

import re
import unicodedata

from source.loading.options import Decimal

# Values that need no rewriting, as a regular expression for Arrow.
PLAIN = r"^-?\d{1,30}(?:\.\d{1,60})?$"
SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f\t"), " ")
MARKS = SPACES | {ord("−"): "-", ord("’"): "'"}
NUMBER = re.compile(r"(?:\d{1,30}(?:\.\d{0,60})?|\.\d{1,60})(?:[eE][+-]?\d{1,3})?")
NOT_FINITE = re.compile(r"(?i)nan|[+-]?inf(?:inity)?")
CODES = re.compile(r"[A-Z]{3}|R\$|S/\.?|[Rr][Ss]\.?|[Kk]r\.?|zł|Kč|Ft|lei|Fr\.?|(?:US|A|C|NZ|HK|S)(?=\$)")
WITH_POINT = re.compile(r"\d{1,3}([, '])(?:\d{2,3}\1)*\d{3}(?:\.\d+)?")
WITH_COMMA = re.compile(r"\d{1,3}([. '])(?:\d{3}\1)*\d{3}(?:,\d+)?")


def plain(text: str, decimal: Decimal | None) -> str:
    """The amount as digits with a point, without currency signs, thousands separators and parentheses.

    Raises
    ------
    ValueError
        With the reason, when it is not a number or is ambiguous.
    """
    stripped = text.translate(MARKS).strip()
    if NOT_FINITE.fullmatch(stripped):
        return stripped
    bare, negative = _without_sign(stripped)
    number = _point(bare, decimal, text)
    if not NUMBER.fullmatch(number):
        raise ValueError(f"{_shown(text)} is not a number")
    return f"-{number}" if negative else number


def _without_sign(text: str) -> tuple[str, bool]:
    """The digits and separators without currency, and whether the amount is negative."""
    negative = text.startswith("(") and text.endswith(")")
    bare = text[1:-1] if negative else text
    for _ in range(2):  # the sign may be before or after the currency
        bare = bare.strip()
        if bare[:1] in ("-", "+"):
            negative, bare = negative or bare[0] == "-", bare[1:].strip()
        elif bare[-1:] == "-":
            negative, bare = True, bare[:-1].strip()
        bare = _without_currency(bare)
    return bare, negative


def _without_currency(text: str) -> str:
    code = CODES.match(text)
    if code:
        text = text[code.end() :].strip()
    while text and unicodedata.category(text[0]) == "Sc":
        text = text[1:].strip()
    while text and unicodedata.category(text[-1]) == "Sc":
        text = text[:-1].strip()
    code = re.search(rf"(?<=[\d\s])(?:{CODES.pattern})$", text)
    return text[: code.start()].strip() if code else text


def _point(text: str, decimal: Decimal | None, written: str) -> str:
    """The number with a point and without thousands separators."""
    if decimal == ",":
        if re.fullmatch(r"\d*(?:,\d+)?(?:[eE][+-]?\d+)?", text):
            return text.replace(",", ".")
        if WITH_COMMA.fullmatch(text):
            return re.sub(r"[. ']", "", text).replace(",", ".")
        if "." in text:
            raise ValueError(f"{_shown(written)} has no decimal comma, as --decimal , says")
        return text
    grouped = WITH_POINT.fullmatch(text)
    if grouped and decimal is None and re.fullmatch(r"\d{1,3},\d{3}", text) and text[0] != "0":
        raise ValueError(f"{_shown(written)} has a comma that may be decimal or not; use --decimal , or --decimal .")
    if grouped:
        return re.sub(r"[, ']", "", text)
    if re.fullmatch(r"\d*,\d+", text) or (WITH_COMMA.fullmatch(text) and "," in text):
        raise ValueError(f"{_shown(written)} has a decimal comma; use --decimal ,")
    return text


def _shown(text: str) -> str:
    return f'"{text if len(text) <= 40 else text[:39] + "…"}"'
