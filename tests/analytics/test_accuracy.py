"""Forecasts of real daily series, held against the seasonal naive on the last three blocks of 28 days."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import forecasts
from bench.daily import read

DATA = Path(__file__).parent.parent.parent.parent / "shared" / "data"
FOLDERS = ("counter", "online_retail", "restaurant")


@pytest.mark.long
@pytest.mark.parametrize("without", ["", "item_revenue"])
def test_forecasts_of_real_series_beat_the_week_before(without: str) -> None:
    absent = [name for name in FOLDERS if not (DATA / name).is_dir()]
    if absent:
        pytest.skip(f"{DATA} has no {', '.join(absent)}")
    scores = []
    for name in FOLDERS:
        daily = read(DATA / name)
        which = np.flatnonzero([metric != without for metric in daily.metrics])
        scores.append(forecasts.score(daily, which, forecasts.ours))
    found = forecasts.together(scores)
    ratio = found.errors[found.naive > 0] / found.naive[found.naive > 0]
    assert len(ratio) > 400
    assert np.exp(np.log(np.maximum(ratio, 1e-3)).mean()) <= 0.82
    assert (ratio > 1 + 1e-9).mean() <= 0.07
    assert 0.77 <= found.covered.mean() <= 0.88
