"""Simulated daily series of a restaurant: a weekly season, and noise that resembles the day before's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WEEK = np.array([0.7, 0.8, 0.9, 1.0, 1.3, 1.5, 0.8])


def noise(random: np.random.Generator, series: int, days: int, resemblance: float, deviation: float) -> NDArray:
    """Autoregressive noise of order one around zero, (series, days)."""
    chance = random.normal(size=(series, days + 100)) * np.sqrt(1 - resemblance**2)
    found = np.zeros_like(chance)
    for day in range(1, days + 100):
        found[:, day] = resemblance * found[:, day - 1] + chance[:, day]
    return found[:, 100:] * deviation


def daily(
    random: np.random.Generator, series: int, days: int, *, mean: float, resemblance: float, deviation: float
) -> NDArray:
    """Stationary series, (series, days), from a Monday on."""
    season = mean * WEEK[np.arange(days) % 7]
    return np.maximum(season * (1 + noise(random, series, days, resemblance, deviation)), 0)
