"""Profiles as bytes: eight per item and three per cell, more for the few customers whose numbers need it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.ordered import differs
from analytics.recommendations.parameters import SCALE
from analytics.recommendations.profiles import Profiles

Whole = NDArray[np.int64]

ITEM = {
    False: np.dtype([("item", "<u2"), ("first", "u1"), ("day", "<u2"), ("weight", "<u2"), ("whole", "u1")]),
    True: np.dtype([("item", "<u4"), ("first", "<u4"), ("day", "<i4"), ("weight", "<u2"), ("whole", "<u4")]),
}
# A weight is stored as its whole part and the fraction; a count is the sum of its cells. A cell's item is its place
# among the customer's items; the last number means all items.
CELL = {
    False: np.dtype([("item", "u1"), ("daypart", "u1"), ("count", "u1")]),
    True: np.dtype([("item", "<u4"), ("daypart", "<u4"), ("count", "<u4")]),
}
DAY_ZERO = 1 << 15  # so that narrow days reach from 1910 to 2089
COLUMNS = (("item", "items"), ("first", "firsts"), ("day", "days"))


class Packed(NamedTuple):
    """A stored profile."""

    visits: int
    known: int
    hits: int
    wide: bool
    items: bytes
    cells: bytes


class PackedMany(NamedTuple):
    """Profiles of these `customers`, all wide or none; their bytes begin at these offsets, except the last, the end."""

    wide: bool
    customers: Whole
    items: bytes
    item_offsets: Whole
    cells: bytes
    cell_offsets: Whole


def pack(profiles: Profiles) -> Iterator[PackedMany]:
    """The profiles' bytes: first the narrow ones, then the wide ones."""
    wide = _wide(profiles)
    for form in (False, True):
        kept = wide == form
        chosen = profiles if kept.all() else profiles.of_customers(kept)
        if not chosen.customers:
            continue
        entries = np.empty(len(chosen.items), dtype=ITEM[form])
        for field, column in COLUMNS:
            entries[field] = getattr(chosen, column) + (DAY_ZERO if field == "day" and not form else 0)
        entries["whole"], entries["weight"] = np.divmod(chosen.weights, SCALE)
        cells = np.empty(len(chosen.cell_items), dtype=CELL[form])
        cells["item"] = _places(chosen, form)
        cells["daypart"], cells["count"] = chosen.cell_dayparts, chosen.cell_counts
        yield PackedMany(
            form,
            np.flatnonzero(kept),
            entries.tobytes(),
            chosen.starts * ITEM[form].itemsize,
            cells.tobytes(),
            chosen.cell_starts * CELL[form].itemsize,
        )


def unpack(packed: Sequence[Packed]) -> Profiles:
    """The profiles of these customers, in their order."""
    entries = [np.frombuffer(each.items, ITEM[each.wide]) for each in packed]
    cells = [np.frombuffer(each.cells, CELL[each.wide]) for each in packed]
    starts, cell_starts = _offsets(entries), _offsets(cells)
    columns = {column: _column(entries, field) for field, column in COLUMNS}
    narrow = np.repeat([not each.wide for each in packed], np.diff(starts))
    columns["days"] = columns["days"] - DAY_ZERO * narrow
    columns |= {
        name: np.array([getattr(each, name) for each in packed], dtype=np.int64) for name in ("visits", "known", "hits")
    }
    every = np.repeat([_every(each.wide) for each in packed], np.diff(cell_starts))
    places = _column(cells, "item")
    own = np.where(places == every, 0, places) + np.repeat(starts[:-1], np.diff(cell_starts))
    of_items, cell_counts = places != every, _column(cells, "count")
    counts = np.zeros(len(columns["items"]), dtype=np.int64)
    np.add.at(counts, own[of_items], cell_counts[of_items])
    return Profiles(
        counts=counts,
        weights=_column(entries, "whole") * SCALE + _column(entries, "weight"),
        starts=starts,
        cell_starts=cell_starts,
        cell_items=np.where(of_items, columns["items"][own], -1) if len(places) else places,
        cell_dayparts=_column(cells, "daypart"),
        cell_counts=cell_counts,
        **columns,
    )


def _wide(profiles: Profiles) -> NDArray[np.bool_]:
    """Per customer whether a number does not fit the narrow form."""
    found = (profiles.visits > 255) | (np.diff(profiles.starts) >= _every(False))
    large = (profiles.items >= 1 << 16) | (profiles.days < -DAY_ZERO) | (profiles.days >= DAY_ZERO)
    found[profiles.owners[large]] = True
    found[profiles.cell_owners[profiles.cell_dayparts > 255]] = True
    return found


def _places(profiles: Profiles, wide: bool) -> Whole:
    """The place of each cell's item among its customer's items; both are sorted by code."""
    owners, of_items = profiles.cell_owners, profiles.cell_items >= 0
    first = of_items & (differs(owners) | differs(profiles.cell_items))
    return np.where(of_items, np.cumsum(first) - 1 - profiles.starts[owners], _every(wide))


def _every(wide: bool) -> int:
    return int(np.iinfo(CELL[wide]["item"]).max)


def _column(rows: Sequence[NDArray[np.void]], field: str) -> Whole:
    return np.concatenate([each[field] for each in rows]).astype(np.int64) if rows else np.empty(0, dtype=np.int64)


def _offsets(rows: Sequence[NDArray[np.void]]) -> Whole:
    return np.cumsum([0, *map(len, rows)]).astype(np.int64)
