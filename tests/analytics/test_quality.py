"""How good predictions and clusters are on real data that lies beside the repository, by the benchmark's measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import quality

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SETS = [("counter", "America/New_York", 0.0), ("online_retail", "Europe/London", 0.01)]


def folder(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"there is no ../shared/data/{name}")
    return DATA / name


@pytest.mark.long
@pytest.mark.parametrize(("name", "timezone"), [each[:2] for each in SETS])
def test_predictions_beat_recency_and_come_true(name: str, timezone: str) -> None:
    found = quality.predictions(folder(name), timezone)
    for days in (30, 90):
        assert found[f"AUC {days} d"] >= found[f"AUC of recency alone {days} d"] + 0.02
    assert found["calibration error 30 d"] <= 0.03
    best = "revenue of the top tenth by {}".format
    assert found[best("expected value")] >= found[best("past revenue")] - 0.005
    assert 0.75 <= found["next order within its range"] <= 0.9


@pytest.mark.long
@pytest.mark.parametrize(("name", "timezone", "orders"), SETS)
def test_clusters_say_what_segments_do_not(name: str, timezone: str, orders: float) -> None:
    found = quality.clusters(folder(name), timezone)
    assert found["stability"] >= 0.85
    assert found["behaviour by cluster"] >= 5 * found["behaviour by segment"]
    for rfm in ("segment", "R, F and M"):
        assert found[f"orders by {rfm} with cluster"] >= found[f"orders by {rfm}"] + orders
        assert found[f"orders by {rfm} with random"] <= found[f"orders by {rfm}"] + 0.003
