"""MBG/NBD and BG/NBD, against the published parameters of the CDNOW data and the library lifetimes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifetimes import BetaGeoFitter, ModifiedBetaGeoFitter
from lifetimes.datasets import load_cdnow_summary

from analytics import btyd, btyd_fit
from analytics.btyd import Parameters, Whole
from analytics.btyd_fit import Cells

WEEK = 7
PUBLISHED = {"bg": (0.243, 4.414, 0.793, 2.426), "mbg": (0.5248, 6.183, 0.8914, 1.614)}
FITTERS = {"bg": BetaGeoFitter, "mbg": ModifiedBetaGeoFitter}
HOSTILE = [
    Parameters("mbg", 0.5, 40.0, 1.0, 1.6),  # the closed form's pole
    Parameters("bg", 0.24, 31.0, 1.0, 2.4),
    Parameters("mbg", 1e-5, 1e-5, 1e-5, 1e-5),
    Parameters("bg", 160_000.0, 160_000.0, 160_000.0, 160_000.0),
    Parameters("mbg", 160_000.0, 1e-5, 1e-5, 160_000.0),
    Parameters("bg", 1e-5, 160_000.0, 160_000.0, 1e-5),
]


@pytest.fixture(scope="module")
def cdnow() -> tuple[Whole, Whole, Whole]:
    """CDNOW's 2,357 customers, whose weeks are whole days."""
    summary = load_cdnow_summary(index_col=0)
    days = (summary[["recency", "T"]] * WEEK).round().astype("int64")
    return summary["frequency"].astype("int64").to_numpy(), days["recency"].to_numpy(), days["T"].to_numpy()


@pytest.mark.parametrize("family", btyd.FAMILIES)
def test_the_fit_is_the_published_one(cdnow: tuple[Whole, Whole, Whole], family: str) -> None:
    found = btyd_fit.fit(Cells.of(*cdnow), family)
    assert (found.r, found.alpha / WEEK, found.a, found.b) == pytest.approx(PUBLISHED[family], rel=5e-3)
    reference = FITTERS[family]().fit(*cdnow).params_
    assert (found.r, found.alpha, found.a, found.b) == pytest.approx(
        [reference[name] for name in ("r", "alpha", "a", "b")], rel=1e-3
    )


@pytest.mark.parametrize("family", btyd.FAMILIES)
def test_expectations_are_those_of_lifetimes(cdnow: tuple[Whole, Whole, Whole], family: str) -> None:
    x, t_x, t = cdnow
    reference = FITTERS[family]().fit(x, t_x, t)
    model = Parameters(family, *(float(reference.params_[name]) for name in ("r", "alpha", "a", "b")))
    alive = btyd.p_alive(model, x, t_x, t)
    assert alive == pytest.approx(np.asarray(reference.conditional_probability_alive(x, t_x, t)), abs=1e-6)
    for days in (1, 30, 90, 365):
        expected = np.asarray(reference.conditional_expected_number_of_purchases_up_to_time(days, x, t_x, t))
        finite = np.isfinite(expected)
        assert finite.any()
        ours = alive * btyd.expected_orders(model, x, t, days)
        assert ours[finite] == pytest.approx(expected[finite], abs=1e-6)


def test_neither_order_nor_shards_show_in_the_fit(cdnow: tuple[Whole, Whole, Whole]) -> None:
    whole = btyd_fit.fit(Cells.of(*cdnow), "mbg")
    shuffled = np.random.default_rng(1).permutation(len(cdnow[0]))
    pieces = [Cells.of(*(column[piece] for column in cdnow)) for piece in np.array_split(shuffled, 7)]
    columns = [np.concatenate([getattr(cells, name) for cells in pieces]) for name in ("x", "t_x", "t", "count")]
    assert btyd_fit.fit(Cells.of(*columns), "mbg") == whole


def test_a_simulated_shop_gives_its_parameters_back() -> None:
    true, generator, customers, seen = Parameters("mbg", 0.8, 30.0, 0.9, 2.5), np.random.default_rng(5), 20_000, 600
    rate = generator.gamma(true.r, 1 / true.alpha, customers)
    leaving = generator.beta(true.a, true.b, customers)
    x, t_x = np.zeros(customers, dtype=np.int64), np.zeros(customers)
    active = generator.random(customers) >= leaving
    while active.any():
        t_next = t_x + generator.exponential(1 / rate)
        active &= t_next <= seen
        x[active] += 1
        t_x[active] = t_next[active]
        active &= generator.random(customers) >= leaving
    days = np.full(customers, seen, dtype=np.int64)
    found = btyd_fit.fit(Cells.of(x, np.floor(t_x).astype(np.int64), days), "mbg")
    assert (found.r, found.alpha, found.a, found.b) == pytest.approx((true.r, true.alpha, true.a, true.b), rel=0.15)
    ordered = generator.random(customers) < btyd.p_order(
        true, btyd.p_alive(true, x, t_x.astype(np.int64), days), x, days, 90
    )
    assert ordered.any()


@pytest.mark.parametrize("model", HOSTILE)
def test_no_customer_and_no_parameters_give_anything_but_numbers(model: Parameters) -> None:
    x = np.array([0, 0, 1, 1, 5000, 5000, 30], dtype=np.int64)
    t_x = np.array([0, 0, 1, 4000, 5000, 6000, 30], dtype=np.int64)
    t = np.array([0, 9000, 1, 4000, 5000, 9000, 9000], dtype=np.int64)
    with np.errstate(invalid="raise"):
        alive = btyd.p_alive(model, x, t_x, t)
        for days in (30, 90):
            p, orders = btyd.p_order(model, alive, x, t, days), alive * btyd.expected_orders(model, x, t, days)
            assert ((p >= 0) & (p <= 1)).all()
            assert np.isfinite(orders).all() and (orders >= 0).all()
        quantiles = [btyd.next_order(model, x, t, 90, quantile) for quantile in btyd.QUANTILES]
    assert all(((days >= 0) & (days <= 90 + 1e-6)).all() for days in quantiles)
    assert (quantiles[0] <= quantiles[1]).all() and (quantiles[1] <= quantiles[2]).all()
    assert ((alive >= 0) & (alive <= 1)).all()
    assert not np.isnan(btyd.overdue_after(model, x, t_x)).any()


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 700), st.integers(0, 700)), min_size=1, max_size=20))
def test_a_customer_is_scored_alike_in_whatever_company(rows: list[tuple[int, int, int]]) -> None:
    model = Parameters("mbg", 0.6, 35.0, 0.9, 1.7)
    x, t_x, more = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    t_x = np.where(x > 0, t_x, 0)
    t = t_x + more
    together = _scores(model, x, t_x, t)
    alone = np.concatenate([_scores(model, x[[place]], t_x[[place]], t[[place]]) for place in range(len(x))], axis=1)
    assert (np.round(together, 9) == np.round(alone, 9)).all()


def _scores(model: Parameters, x: Whole, t_x: Whole, t: Whole) -> np.typing.NDArray[np.float64]:
    alive = btyd.p_alive(model, x, t_x, t)
    return np.stack(
        [
            alive,
            btyd.p_order(model, alive, x, t, 90),
            btyd.expected_orders(model, x, t, 90),
            btyd.overdue_after(model, x, t_x),
        ]
    )


def test_a_gap_beyond_nine_of_ten_is_overdue() -> None:
    # A gamma(r + x, alpha + t_x) mixture of exponentials has the tail (1 + gap / (alpha + t_x)) ** -(r + x).
    model = Parameters("bg", 2.0, 10.0, 0.5, 2.0)
    (days,) = btyd.overdue_after(model, np.array([3]), np.array([90]))
    assert (1 + days / 100.0) ** -5 == pytest.approx(0.1)


def test_a_customer_who_ordered_once_is_alive_in_bg() -> None:
    model = Parameters("bg", 0.2, 30.0, 0.8, 1e-9)
    assert btyd.p_alive(model, np.array([0]), np.array([0]), np.array([500])).tolist() == [1.0]


def test_nobody_can_be_fitted_without_a_traceback() -> None:
    for cells in (
        Cells.of(*(np.array([0]) for _ in range(3))),
        Cells.of(np.array([5000]), np.array([5000]), np.array([5000])),
        Cells.of(np.zeros(300, dtype=np.int64), np.zeros(300, dtype=np.int64), np.arange(300)),
    ):
        for family in btyd.FAMILIES:
            found = btyd_fit.fit(cells, family)
            assert all(np.isfinite([found.r, found.alpha, found.a, found.b]))
