"""Amounts and quantities in files, rewritten for PostgreSQL's numeric.

They are converted as text, never as floats, so that they stay exact.
"""

from __future__ import annotations

import re
import unicodedata

from source.loading.options import Decimal

# Values that need no rewriting, as regular expressions for Arrow; with a decimal comma, 1.234 is 1234.
PLAIN = r"^-?\d{1,30}(?:\.\d{1,60})?$"
PLAIN_WHOLE = r"^-?\d{1,30}$"
SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f\t"), " ")
MARKS = SPACES | {ord("−"): "-", ord("’"): "'"}
NUMBER = re.compile(r"(?:[0-9]{1,30}(?:\.[0-9]{0,60})?|\.[0-9]{1,60})(?:[eE][+-]?[0-9]{1,3})?")
NO_CENTS = re.compile(r"(?<=[0-9])[.,](?:--?|[–—])(?![0-9])")  # 12.- is 12, not -12
NOT_FINITE = re.compile(r"(?i)nan|[+-]?inf(?:inity)?")
CODES = re.compile(r"[A-Z]{3}|R\$|S/\.?|[Rr][Ss]\.?|[Kk]r\.?|zł|Kč|Ft|lei|Fr\.?|(?:US|A|C|NZ|HK|S)(?=\$)")
# No thousands begin with a zero: 0,350 is a decimal fraction.
WITH_POINT = re.compile(r"[1-9]\d{0,2}([, '])(?:\d{2,3}\1)*\d{3}(?:\.\d+)?")
WITH_COMMA = re.compile(r"[1-9]\d{0,2}([. '])(?:\d{3}\1)*\d{3}(?:,\d+)?")


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
    bare, negative = _without_sign(NO_CENTS.sub("", stripped))
    number = _point(bare, decimal, text)
    if not NUMBER.fullmatch(number):
        raise ValueError(f"{_shown(text)} is not a number")
    return f"-{number}" if negative else number


def _without_sign(text: str) -> tuple[str, bool]:
    """The digits and separators without currency, and whether the amount is negative."""
    outer = _without_currency(text)
    negative = outer.startswith("(") and outer.endswith(")")
    bare = outer[1:-1] if negative else text
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
    if grouped and decimal is None and re.fullmatch(r"\d{1,3},\d{3}", text):
        raise ValueError(f"{_shown(written)} has a comma that may be decimal or not; use --decimal , or --decimal .")
    if grouped:
        return re.sub(r"[, ']", "", text)
    if re.fullmatch(r"\d*,\d+", text) or (WITH_COMMA.fullmatch(text) and "," in text):
        raise ValueError(f"{_shown(written)} has a decimal comma; use --decimal ,")
    return text


def _shown(text: str) -> str:
    return f'"{text if len(text) <= 40 else text[:39] + "…"}"'
