"""Amounts in the formats of tills and spreadsheets."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from source.loading import amounts


@pytest.mark.parametrize(
    ("text", "decimal", "right"),
    [
        ("2.39", None, "2.39"),
        (" 2.39 ", None, "2.39"),
        ("+2.39", None, "2.39"),
        ("$2.39", None, "2.39"),
        ("-$2.39", None, "-2.39"),
        ("$-2.39", None, "-2.39"),
        ("($2.39)", None, "-2.39"),
        ("2.39-", None, "-2.39"),
        ("−2.39", None, "-2.39"),
        ("2.39 €", None, "2.39"),
        ("2.39 €", None, "2.39"),
        ("USD 2.39", None, "2.39"),
        ("2.39 CHF", None, "2.39"),
        ("Rs. 239", None, "239"),
        ("US$2.39", None, "2.39"),
        ("£1,234.50", None, "1234.50"),
        ("1,234,567", None, "1234567"),
        ("12,34,567.50", None, "1234567.50"),
        ("1 234.50", None, "1234.50"),
        ("1 234.50", None, "1234.50"),
        ("1'234.50", None, "1234.50"),
        ("1,234", ".", "1234"),
        ("2,39", ",", "2.39"),
        ("-2,39 €", ",", "-2.39"),
        ("1.234,50", ",", "1234.50"),
        ("1.234", ",", "1234"),
        ("1 234,50", ",", "1234.50"),
        ("1 234,50", ",", "1234.50"),
        ("0,350", ",", "0.350"),
        ("2", ",", "2"),
        ("12.-", None, "12"),
        ("12,– €", ",", "12"),
        ("5,--", ",", "5"),
        ("$(1,234.50)", None, "-1234.50"),
        ("(2,39) €", ",", "-2.39"),
        ("1e-05", None, "1e-05"),
        ("0.30000000000000004", None, "0.30000000000000004"),
        ("NaN", None, "NaN"),
        ("-Infinity", None, "-Infinity"),
    ],
)
def test_an_amount_is_read_exactly(text: str, decimal: str | None, right: str) -> None:
    assert amounts.plain(text, decimal) == right  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "decimal", "said"),
    [
        ("ten", None, "not a number"),
        ("ERROR", None, "not a number"),
        ("1.0O", None, "not a number"),
        ("", None, "not a number"),
        ("$", None, "not a number"),
        ("5 pcs", None, "not a number"),
        ("10%", None, "not a number"),
        ("1.2.3", None, "not a number"),
        ("--5", None, "-5"),
        ("2,39", None, "use --decimal ,"),
        ("1.234,50", None, "use --decimal ,"),
        ("1,234", None, "--decimal , or --decimal ."),
        ("12.50", ",", "no decimal comma"),
        ("1,23,4", ",", "not a number"),
        ("0,350", None, "use --decimal ,"),
        ("0,350", ".", "use --decimal ,"),
        ("0.350", ",", "no decimal comma"),
        ("١٢", None, "not a number"),
        ("9" * 31, None, "not a number"),
    ],
)
def test_what_is_no_number_or_could_be_two_is_refused(text: str, decimal: str | None, said: str) -> None:
    if said == "-5":  # two signs, one before and one behind the currency, are one
        assert amounts.plain(text, decimal) == said  # type: ignore[arg-type]
        return
    with pytest.raises(ValueError, match=re.escape(said)):
        amounts.plain(text, decimal)  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    st.decimals(-(10**9), 10**9, places=2, allow_nan=False),
    st.sampled_from([("{:,.2f}", ".", None), ("{:.2f}", ".", None), ("{:,.2f}", ",", ","), ("{:.2f}", ",", ",")]),
    st.sampled_from(["{}", "${}", "{} €", "EUR {}"]),
)
def test_whatever_is_written_by_a_rule_is_read_back(
    number: Decimal, written: tuple[str, str, str | None], sign: str
) -> None:
    form, point, decimal = written
    text = form.format(number)
    if point == ",":
        text = text.translate({ord(","): ".", ord("."): ","})
    assert Decimal(amounts.plain(sign.format(text), decimal)) == number  # type: ignore[arg-type]
