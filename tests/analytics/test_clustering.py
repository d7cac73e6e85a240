"""Features, clusters, ids and names: by hand, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from analytics import behaviour, cluster_names, clustering
from analytics.behaviour import Counts, Whole


def counts(rows: list[dict[str, int]]) -> Counts:
    """Customers with one daypart (`morning`, of two) and one category (`cake`, of two)."""

    def column(name: str) -> Whole:
        return np.array([row.get(name, 0) for row in rows], dtype=np.int64)

    visits, lines = column("visits"), column("lines")
    names = ("refunds", "cents", "weekend", "units", "items", "gaps", "gap_days", "gap_squares")
    return Counts(
        visits=visits,
        lines=lines,
        dayparts=np.stack([column("morning"), visits - column("morning")], axis=1),
        categories=np.stack([column("cake"), lines - column("cake")], axis=1),
        **{name: column(name) for name in names},
    )


def people(count: int, seed: int = 1) -> Counts:
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        visits, lines = int(generator.integers(2, 30)), int(generator.integers(2, 60))
        row = {"visits": visits, "lines": lines, "items": int(generator.integers(1, lines + 1))}
        row |= {"morning": int(generator.integers(0, visits + 1)), "cake": int(generator.integers(0, lines + 1))}
        row |= {"weekend": int(generator.integers(0, visits + 1)), "refunds": int(generator.integers(0, 2))}
        row |= {"cents": int(generator.integers(1, 9000)) * visits, "units": 1000 * lines}
        rows.append(row | {"gaps": visits - 1, "gap_days": 5 * (visits - 1), "gap_squares": 40 * (visits - 1)})
    return counts(rows)


NAMES = (["morning", "evening"], ["cake", "soup"])


def test_shares_are_drawn_to_those_of_all_and_features_are_cut_at_three() -> None:
    everybody = people(400)
    scale = behaviour.fit_scale(everybody, *NAMES)
    points = behaviour.features(everybody, scale, *NAMES)
    assert np.abs(points).max() <= 3000
    assert {"daypart:morning", "category:cake", "weekend", "ticket", "basket"} <= set(scale.names)
    place = scale.names.index("daypart:morning")
    drawn, visits = scale.drawn["daypart:morning"], everybody.visits
    share = (everybody.dayparts[:, 0] + drawn * scale.shares["daypart:morning"]) / (visits + drawn)
    low, middle, high = np.quantile(share, [0.25, 0.5, 0.75])
    counted = np.mean(visits / (visits + drawn))
    expected = np.clip((share - middle) / ((high - low) / 1.349) * counted, -3, 3)
    assert points[:, place] / 1000 == pytest.approx(expected, abs=0.0006)
    assert np.median(points[:, place]) == 0


@pytest.mark.parametrize(("a", "b"), [(1.0, 3.0), (0.5, 0.5), (4.0, 12.0)])
def test_shares_are_drawn_by_as_many_visits_as_the_customers_beta_distribution_says(a: float, b: float) -> None:
    generator = np.random.default_rng(5)
    visits = generator.integers(2, 30, 20_000)
    morning = generator.binomial(visits, generator.beta(a, b, 20_000))
    assert behaviour.drawn_by(morning, visits) == pytest.approx(a + b, rel=0.05)


def test_shares_that_differ_by_chance_alone_are_drawn_most_and_those_of_few_visits_too() -> None:
    visits = np.full(20_000, 10)
    alike = np.random.default_rng(5).binomial(visits, 0.3)
    assert behaviour.drawn_by(alike, visits) == 60
    for few in ([], [3], [1, 1, 1]):
        whole = np.array(few, dtype=np.int64)
        assert behaviour.drawn_by(whole, whole) == 60


def test_a_customer_with_nothing_to_say_is_in_the_middle() -> None:
    scale = behaviour.fit_scale(people(400), *NAMES)
    nobody = behaviour.features(counts([{"visits": 2, "cents": 0}]), scale, *NAMES)
    for name in ("ticket", "basket"):
        assert nobody[0, scale.names.index(name)] == 0
    assert np.isfinite(nobody).all()


def test_nobody_has_no_features() -> None:
    scale, none = behaviour.fit_scale(people(400), *NAMES), np.zeros((0, 0), dtype=np.int64)
    columns = {name: none if name in ("dayparts", "categories") else none.ravel() for name in vars(counts([]))}
    nobody = Counts(**columns)
    assert behaviour.features(nobody, scale, *NAMES).shape == (0, len(scale.names))


def test_a_feature_in_which_all_are_alike_is_none() -> None:
    alike = counts([{"visits": 4, "cents": 4000, "lines": 4, "units": 4000, "items": 4} for _ in range(300)])
    assert behaviour.fit_scale(alike, *NAMES).names == ()


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.integers(-3000, 3000), min_size=3, max_size=3), min_size=1, max_size=40),
    st.lists(st.lists(st.integers(-3000, 3000), min_size=3, max_size=3), min_size=1, max_size=6),
)
def test_the_nearest_centre_is_exact_and_the_first_of_equals(rows: list[list[int]], centres: list[list[int]]) -> None:
    place, squares = clustering.nearest(np.array(rows), np.array(centres))
    for row, found, square in zip(rows, place, squares, strict=True):
        distances = [sum((a - b) ** 2 for a, b in zip(row, centre, strict=True)) for centre in centres]
        assert (int(found), int(square)) == (distances.index(min(distances)), min(distances))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_the_rand_index_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    one, other = (np.array(column) for column in zip(*pairs, strict=True))
    assert clustering.adjusted_rand(one, other) == pytest.approx(adjusted_rand_score(one, other))


def blobs(centres: list[list[int]], each: int, seed: int = 1) -> Whole:
    generator = np.random.default_rng(seed)
    points = np.concatenate([generator.normal(centre, 250, (each, len(centre))) for centre in centres])
    return np.rint(generator.permutation(points)).astype(np.int64)


@pytest.mark.long
def test_as_many_clusters_are_found_as_there_are() -> None:
    truth = [[-2000, 0, 0], [2000, 0, 0], [0, 2000, 0], [0, 0, 2500]]
    points = blobs(truth, 150)
    assert clustering.choose(points, 4, 7).stability > 0.99
    chosen = clustering.choose(points, None, 7)
    assert chosen.k >= 4 and chosen.stability >= clustering.STABLE
    found = clustering.fit(points, 4, 7)
    assert sorted(map(tuple, np.round(found, -3).tolist())) == sorted(map(tuple, np.round(truth, -3).tolist()))
    assert (clustering.fit(points, 4, 7) == found).all()
    assert clustering.misfit(points, found).mean() < 0.3


def test_noise_has_no_stable_clusters_and_a_wanted_number_is_kept() -> None:
    noise = np.random.default_rng(1).integers(-3000, 3000, (500, 8))
    chosen = clustering.choose(noise, None, 7, noise[:9])
    assert chosen.stability < clustering.STABLE and chosen.k != 9
    assert clustering.choose(noise, 5, 7).k == 5
    assert clustering.choose(noise[:4], None, 7).k == 0


def test_the_number_in_service_is_kept_while_it_is_stable() -> None:
    points = blobs([[-2000, 0, 0], [2000, 0, 0], [0, 2000, 0], [0, 0, 2500]], 60)
    three = np.array([[-2000, 0, 0], [2000, 0, 0], [0, 1000, 1200]])
    assert clustering.choose(points, None, 7, three).k == 3
    assert clustering.choose(points, 4, 7, three).k == 4


def test_ids_follow_their_centres_and_are_never_used_again() -> None:
    former = np.array([[0, 0], [2000, 0], [0, 2000]])
    moved = np.array([[100, 1900], [2100, 50], [-2500, -2500]])
    assert clustering.matched_ids(former, [4, 7, 9], moved, 12) == [9, 7, 12]
    assert clustering.matched_ids(former, [4, 7, 9], former[::-1].copy(), 12) == [9, 7, 4]


def test_names_are_told_apart_and_made_of_what_is_farthest() -> None:
    centres = np.array([[2000, 300, 0, -900], [2000, 0, -500, 0], [0, 0, 0, 100], [0, 0, 0, 0]])
    found = cluster_names.describe(["weekend", "daypart:Lunch", "ticket", "basket"], centres)
    assert found[0] == ("Weekends, small baskets", "weekends (2.0 sd), small baskets (0.9 sd), more Lunch (0.3 sd)")
    assert found[1][0] == "Weekends, small bills"
    assert found[2] == ("Like most", "close to the mean in everything")
    assert len({name for name, _ in found}) == 4


def test_names_that_are_alike_say_what_else_tells_them_apart_or_how_much() -> None:
    features = ["weekend", "daypart:Lunch", "ticket", "basket"]
    twins = [[0, 900, -2000, -1600], [0, -300, -800, -900], [0, 0, -900, -2000], [900, 0, -900, -1000]]
    assert [name for name, _ in cluster_names.describe(features, np.array(twins))] == [
        "Small bills, small baskets, more Lunch",
        "Small baskets, small bills",
        "Very small baskets, small bills",
        "Small baskets, small bills, weekends",
    ]
    same = [[0, 0, -900, -1000], [0, 0, -1000, -900]]
    assert [name for name, _ in cluster_names.describe(features, np.array(same))] == [
        "Small baskets, small bills",
        "Small bills, small baskets",
    ]
    assert cluster_names.describe(features, np.array(same[:1] * 2))[1][0] == "Small baskets, small bills (2)"
