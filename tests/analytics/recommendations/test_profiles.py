"""Profiles hold what their histories come to, keep it as bytes, and add to tallies what can be taken out again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics.recommendations.histories import Histories, together
from analytics.recommendations.packing import Packed, pack, unpack
from analytics.recommendations.parameters import SCALE, Parameters
from analytics.recommendations.profiles import Profiles, profiles
from analytics.recommendations.tallies import Tallies, tally, total
from tests.analytics.recommendations.drawn import DAYPARTS, HISTORIES, ITEMS, arrays
from tests.analytics.recommendations.plain import History, weights

PARAMETERS = st.sampled_from([Parameters(), Parameters(half_life=0), Parameters(half_life=2, prior=4)])


def tallied(found: Profiles, parameters: Parameters) -> Tallies:
    segments = np.arange(found.customers) % 3
    return tally(found, segments, parameters=parameters, items=ITEMS, dayparts=DAYPARTS, most_segments=3)


def same(one: object, other: object) -> bool:
    return all(np.array_equal(values, getattr(other, name)) for name, values in vars(one).items())


@given(HISTORIES, PARAMETERS, st.integers(0, 3))
def test_a_profile_has_counts_dates_and_weights_of_each_item(
    histories: list[History], parameters: Parameters, seed: int
) -> None:
    found = profiles(arrays(histories, seed), parameters)
    assert found.visits.tolist() == [len(history) for history in histories]
    for customer, history in enumerate(histories):
        mine = slice(found.starts[customer], found.starts[customer + 1])
        expected = weights(history, parameters)
        assert found.items[mine].tolist() == sorted(expected)
        for item, count, first, day, weighed in zip(
            *(column[mine].tolist() for column in (found.items, found.counts, found.firsts, found.days, found.weights)),
            strict=True,
        ):
            with_it = [number for number, visit in enumerate(history) if item in visit.items]
            assert (count, first, day) == (len(with_it), with_it[0], history[with_it[-1]].day)
            assert abs(weighed / SCALE - expected[item]) < 1e-4
        cells = slice(found.cell_starts[customer], found.cell_starts[customer + 1])
        counted = zip(
            *(column[cells].tolist() for column in (found.cell_items, found.cell_dayparts, found.cell_counts)),
            strict=True,
        )
        assert {(item, daypart): count for item, daypart, count in counted} == {
            (item, daypart): count
            for item in [-1, *expected]
            for daypart in range(DAYPARTS)
            if (count := sum(v.daypart == daypart and (item < 0 or item in v.items) for v in history))
        }


def packed(found: Profiles) -> list[Packed]:
    rows: dict[int, Packed] = {}
    for each in pack(found):
        for place, customer in enumerate(each.customers):
            numbers = (int(column[customer]) for column in (found.visits, found.known, found.hits))
            items, cells = (slice(*offsets[place : place + 2]) for offsets in (each.item_offsets, each.cell_offsets))
            rows[int(customer)] = Packed(*numbers, each.wide, each.items[items], each.cells[cells])  # type: ignore[call-arg]
    return [rows[customer] for customer in range(found.customers)]


@given(HISTORIES, PARAMETERS, st.sampled_from([0, 70_000]))
def test_bytes_hold_a_whole_profile(histories: list[History], parameters: Parameters, beyond: int) -> None:
    found = profiles(arrays(histories), parameters)
    shifted = replace(
        found, items=found.items + beyond, cell_items=np.where(found.cell_items < 0, -1, found.cell_items + beyond)
    )
    assert same(shifted, unpack(packed(shifted)))
    assert beyond or all(
        not row.wide or max(abs(visit.day) for visit in history) >= 1 << 15
        for row, history in zip(packed(found), histories, strict=True)
    )


def test_a_customer_who_comes_more_often_than_a_byte_counts_is_whole() -> None:
    visits = 70_000
    zeros, numbers = np.zeros(visits, dtype=np.int64), np.arange(visits)
    history = Histories.of_rows(zeros, numbers, numbers, zeros, zeros, zeros + 1, zeros, 1)
    found = profiles(history, Parameters(half_life=0))
    assert found.counts.tolist() == [visits] and found.weights.tolist() == [visits * SCALE]
    assert same(found, unpack(packed(found)))


@given(HISTORIES, HISTORIES, PARAMETERS)
def test_what_a_customer_added_to_the_tallies_is_taken_out_again(
    some: list[History], others: list[History], parameters: Parameters
) -> None:
    stay, gone = profiles(arrays(some), parameters), profiles(arrays(others), parameters)
    one, two = tallied(stay, parameters), tallied(gone, parameters)
    assert same(one.plus([(1, two)]).plus([(-1, two)]), one)
    assert same(total(iter([one, two])), one.plus([(1, two)]))


@given(HISTORIES, PARAMETERS, st.integers(1, 4))
def test_no_division_into_shards_shows_in_the_tallies(
    histories: list[History], parameters: Parameters, shards: int
) -> None:
    whole = arrays(histories)
    number = np.arange(whole.customers)

    def count(of: Histories, segments: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tallies:
        found = profiles(of, parameters)
        return tally(found, segments, parameters=parameters, items=ITEMS, dayparts=DAYPARTS, most_segments=3)

    parts = [
        (whole.of_customers(number % shards == shard), number[number % shards == shard]) for shard in range(shards)
    ]
    assert same(total(count(part, mine % 3) for part, mine in parts), count(whole, number % 3))
    assert same(
        count(together([part for part, _ in parts]), np.concatenate([mine % 3 for _, mine in parts])),
        count(whole, number % 3),
    )
