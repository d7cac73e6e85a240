"""Sums over customers' profiles, as integers, so that they can be added in any order and subtracted exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.recommendations.parameters import BUCKETS, SCALE, Parameters, buckets
from analytics.recommendations.profiles import Profiles

Whole = NDArray[np.int64]

MOST_PAIRED = 10_000  # items; pairs are not counted for items with higher codes
HEAD = 512  # items with the lowest codes, whose pairs are counted by sets of bits
CUSTOMERS = 1 << 14  # of a set of bits, so that all sets fit the processor's cache
BLOCK = 1 << 18  # pairs at a time, for the same reason


@dataclass(frozen=True)
class Tallies:
    """Sums over customers.

    Parameters
    ----------
    buyers, again, chances
        Per item: the customers who bought it; their visits with it after the first; all their visits after the first
        with it.
    rows, known, hits, novelties
        Per bucket of visits before the last one, of customers with at least two: how many; the sums of `known` and
        `hits` of their profiles; items of the last visit that were new.
    shares
        Shape (buckets, items): what an item's own re-buy rate adds to `known`, in 1/SCALE of that rate.
    pairs, pair_customers
        Pairs of items, the lower code first, as `first << 32 | second` increasing; the customers who bought both.
    orders, customers
        Shape (segments, dayparts, items): visits with the item, and their customers. Segment 0: none.
    visits
        Shape (segments, dayparts).
    """

    buyers: Whole
    again: Whole
    chances: Whole
    rows: Whole
    known: Whole
    hits: Whole
    novelties: Whole
    shares: Whole
    pairs: Whole
    pair_customers: Whole
    orders: Whole
    customers: Whole
    visits: Whole

    @property
    def items(self) -> int:
        """The number of item codes."""
        return len(self.buyers)

    @property
    def learners(self) -> int:
        """Customers with at least two visits."""
        return int(self.rows.sum())

    def widened(self, items: int) -> Tallies:
        """The same tallies, extended to more items."""
        more = items - self.items
        wide = {
            name: np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, more)])
            for name in ("buyers", "again", "chances", "shares", "orders", "customers")
            if (values := getattr(self, name)) is not None
        }
        return Tallies(**{**vars(self), **wide})

    def plus(self, others: list[tuple[int, Tallies]]) -> Tallies:
        """The tallies with others added (1) or subtracted (-1); both have the same items, segments and dayparts."""
        found = {
            name: getattr(self, name) + sum(sign * getattr(each, name) for sign, each in others)
            for name in vars(self)
            if not name.startswith("pair")
        }
        keys = np.concatenate([self.pairs, *(each.pairs for _, each in others)])
        counts = np.concatenate([self.pair_customers, *(sign * each.pair_customers for sign, each in others)])
        return Tallies(**found, **dict(zip(("pairs", "pair_customers"), _merged(keys, counts), strict=True)))


def tally(
    profiles: Profiles,
    segments: Whole,
    *,
    parameters: Parameters,
    items: int,
    dayparts: int,
    most_segments: int,
    pairs: tuple[Whole, Whole] | None = None,
) -> Tallies:
    """The tallies of these profiles; `segments` has each customer's, from 1, or 0; `pairs` if already counted."""
    owners, visits = profiles.owners, profiles.visits
    learners = visits >= 2
    bucket = buckets(np.maximum(visits - 1, 0))
    total = parameters.total_weights(np.maximum(visits - 1, 0)) + parameters.prior * SCALE
    share = np.rint(SCALE * (parameters.prior * SCALE / total)).astype(np.int64)
    new = profiles.firsts == visits[owners] - 1
    of_learner = learners[owners]
    before = of_learner & ~new
    shares = np.zeros(BUCKETS * items, dtype=np.int64)
    np.add.at(shares, bucket[owners[before]] * items + profiles.items[before], share[owners[before]])
    return Tallies(
        np.bincount(profiles.items, minlength=items),
        _sums(profiles.items, profiles.counts - 1, items),
        _sums(profiles.items, visits[owners] - 1 - profiles.firsts, items),
        np.bincount(bucket[learners], minlength=BUCKETS),
        _sums(bucket[learners], profiles.known[learners], BUCKETS),
        _sums(bucket[learners], profiles.hits[learners], BUCKETS),
        np.bincount(bucket[owners[of_learner & new]], minlength=BUCKETS),
        shares.reshape(BUCKETS, items),
        *(pairs_of(profiles, items) if pairs is None else pairs),
        *_by_segment(profiles, segments, items, dayparts, most_segments),
    )


def total(parts: Iterator[Tallies]) -> Tallies:
    """The sum of several tallies, read one at a time."""
    first = next(parts)
    sums = {name: values.copy() for name, values in vars(first).items() if not name.startswith("pair")}
    size = min(first.items, MOST_PAIRED)
    counts = np.zeros(size * size, dtype=np.int32)
    counts[_flat(first.pairs, size)] += first.pair_customers.astype(np.int32)
    for part in parts:
        for name, values in sums.items():
            values += getattr(part, name)
        counts[_flat(part.pairs, size)] += part.pair_customers.astype(np.int32)
    return Tallies(**sums, **dict(zip(("pairs", "pair_customers"), _sparse(counts, size), strict=True)))


def pairs_of(profiles: Profiles, items: int) -> tuple[Whole, Whole]:
    """The pairs of each customer's items, counted."""
    size = min(items, MOST_PAIRED)
    counts = np.zeros(size * size, dtype=np.int32)
    kept = profiles.items < size
    codes, owners = profiles.items[kept], profiles.owners[kept]
    head = min(size, HEAD)
    counts.reshape(size, size)[:head, :head] = _pairs_of_head(codes, owners, head, profiles.customers)
    # Each pair with another item is found at its first item; the customer's items after that one, and after the head,
    # are the second ones.
    ends = np.cumsum(np.bincount(owners, minlength=profiles.customers))[owners]
    others = np.bincount(owners[codes >= head], minlength=profiles.customers)[owners]
    begin = np.maximum(np.arange(len(codes)) + 1, ends - others)
    following = ends - begin
    for first, until in _blocks(following):
        reach = following[first:until]
        shift = begin[first:until] - (np.cumsum(reach) - reach)
        second = np.repeat(shift, reach)
        second += np.arange(len(second))
        np.add.at(counts, np.repeat(codes[first:until] * size, reach) + codes[second], np.int32(1))
    return _sparse(counts, size)


def _pairs_of_head(codes: Whole, owners: Whole, head: int, customers: int) -> Whole:
    """Shape (head, head): the customers of each pair of items with codes below `head`, the lower one first.

    The buyers of an item are a set of bits, so a pair takes an AND and a count of bits per 64 customers.
    """
    found = np.zeros((head, head), dtype=np.int64)
    below = codes < head
    codes, owners = codes[below], owners[below]
    for first in range(0, customers, CUSTOMERS):
        mine = slice(*np.searchsorted(owners, [first, first + CUSTOMERS]))
        bought = np.zeros((head, CUSTOMERS), dtype=bool)
        bought[codes[mine], owners[mine] - first] = True
        bits = np.packbits(bought, axis=1).view(np.uint64)
        for item in range(head - 1):
            both = np.bitwise_count(bits[item] & bits[item + 1 :])
            found[item, item + 1 :] += both.sum(axis=1, dtype=np.int64)
    return found


def _blocks(sizes: Whole) -> Iterator[tuple[int, int]]:
    """Ranges of rows with a total size of about BLOCK."""
    sums = np.cumsum(sizes)
    first = 0
    while first < len(sizes):
        done = sums[first - 1] if first else 0
        until = max(first + 1, int(np.searchsorted(sums, done + BLOCK, side="right")))
        yield first, until
        first = until


def _sparse(counts: NDArray[np.int32], size: int) -> tuple[Whole, Whole]:
    """The pairs that are not zero, and their counts; row by row, so that no further array is as large as all pairs."""
    pairs, customers = np.empty((2, np.count_nonzero(counts)), dtype=np.int64)
    done = 0
    for first, row in enumerate(counts.reshape(size, size)):
        second = np.flatnonzero(row)
        mine = slice(done, done + len(second))
        pairs[mine], customers[mine] = first << 32 | second, row[second]
        done += len(second)
    return pairs, customers


def _flat(pairs: Whole, size: int) -> Whole:
    return (pairs >> 32) * size + (pairs & 0xFFFFFFFF)


def _merged(keys: Whole, counts: Whole) -> tuple[Whole, Whole]:
    """Counts summed by key; keys with a count of 0 are removed."""
    found, place = np.unique(keys, return_inverse=True)
    sums = np.zeros(len(found), dtype=np.int64)
    np.add.at(sums, place, counts)
    return found[sums != 0], sums[sums != 0]


def _by_segment(
    profiles: Profiles, segments: Whole, items: int, dayparts: int, most_segments: int
) -> tuple[Whole, Whole, Whole]:
    """Orders and customers by segment, daypart and item, and visits by segment and daypart."""
    place = segments[profiles.cell_owners] * dayparts + profiles.cell_dayparts
    of_visits = profiles.cell_items < 0
    visits = _sums(place[of_visits], profiles.cell_counts[of_visits], most_segments * dayparts)
    cells = place[~of_visits] * items + profiles.cell_items[~of_visits]
    shape, size = (most_segments, dayparts, items), most_segments * dayparts * items
    orders = _sums(cells, profiles.cell_counts[~of_visits], size)
    customers = np.bincount(cells, minlength=size)
    return orders.reshape(shape), customers.reshape(shape), visits.reshape(most_segments, dayparts)


def _sums(places: Whole, values: Whole, size: int) -> Whole:
    found = np.zeros(size, dtype=np.int64)
    np.add.at(found, places, values)
    return found
