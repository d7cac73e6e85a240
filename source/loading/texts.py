"""Converting columns of any Arrow type to text; whole numbers become their digits."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

EXACT_FLOATS = {"float": 2**24, "halffloat": 2**11, "double": 2**53}


class BadValueError(Exception):
    """A value that can't be loaded: its index in the batch, and the reason."""

    def __init__(self, place: int, reason: str) -> None:
        super().__init__(reason)
        self.place, self.reason = place, reason


def places_of(mask: pa.Array) -> list[int]:
    """The indices at which a mask is true."""
    found: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return found


def is_text(kind: pa.DataType) -> bool:
    """True for the types of text and bytes."""
    return any(
        same(kind)
        for same in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
        )
    )


def as_text(column: pa.Array, *, ids: bool = False) -> pa.Array:
    """A column as text; float and decimal ids lose `.0`, and NaN becomes NULL.

    Raises
    ------
    BadValueError
        With the first id that is not exact, or when the type can't be loaded.
    """
    kind = column.type
    if is_text(kind):
        return column if pa.types.is_string(kind) else pc.cast(pc.cast(column, pa.binary()), pa.string())
    if pa.types.is_floating(kind):
        nan = pc.is_nan(column)
        column = pc.if_else(nan, None, column) if pc.any(nan).as_py() else column
        if ids:
            return _float_ids(column)
        return pc.cast(column, pa.string())
    if pa.types.is_decimal(kind) and ids:
        text = pc.replace_substring_regex(pc.cast(column, pa.string()), r"\.0+$", "")
        if places := places_of(pc.match_substring(text, ".")):
            raise BadValueError(places[0], "this decimal is not a whole number")
        return text
    if pa.types.is_timestamp(kind):
        text = pc.cast(pc.cast(column, pa.timestamp(kind.unit)), pa.string())
        return text if kind.tz is None else pc.binary_join_element_wise(text, "Z", "")
    if pa.types.is_time(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_date(kind):
        return pc.cast(column, pa.string())
    if pa.types.is_null(kind) or (pa.types.is_boolean(kind) and not ids):
        return pc.cast(column, pa.string())
    raise BadValueError(0, f"the column has the type {kind}, which can't be loaded")


def _float_ids(column: pa.Array) -> pa.Array:
    wide = pc.cast(column, pa.float64())
    limit = EXACT_FLOATS[str(column.type)]
    bad = pc.or_(pc.not_equal(wide, pc.trunc(wide)), pc.greater_equal(pc.abs(wide), limit))
    if places := places_of(bad):
        raise BadValueError(places[0], "this float is not a whole number, or too large to be exact")
    return pc.cast(pc.cast(wide, pa.int64()), pa.string())
